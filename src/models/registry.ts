/**
 * The architectures: how each is built, initialized and named.
 *
 * @module
 */
import type { BuildOptions, Network, Node } from "./blocks.ts";
import type { ModelName } from "./config.ts";
import { efficientnetLite0, publicWeightName } from "./efficientnet_lite.ts";
import { plainCnn } from "./plain_cnn.ts";
import { resnet18 } from "./resnet.ts";

/** How the weights of a kind of layer are drawn at first. */
export type Initializer =
  /** Normal with variance `2 / fan_out` (He et al. 2015, arXiv:1502.01852). */
  | "kaimingNormalFanOut"
  /** PyTorch's default of `nn.Linear` and `nn.Conv2d`: uniform within `±1 / sqrt(fan_in)`, biases too. */
  | "torchDefault"
  /** torchvision's EfficientNet: uniform within `±1 / sqrt(units)`, biases zero. */
  | "uniformFanOut";

/** What Lockstep knows of an architecture. */
export interface Architecture {
  /** Symbolic input [n, h, w, 3] → logits [n, classes]. */
  readonly build: (input: Node, options: BuildOptions) => Network;
  readonly initializers: { readonly conv: Initializer; readonly linear: Initializer };
  /** Names of the last layers, the main one first, which another number of classes replaces. */
  readonly heads: readonly [string, ...string[]];
  /** Whether the main head is a linear layer on a vector of features, in whose place other layers can stand. */
  readonly linearHead: boolean;
  /** Side of the pictures that the pretrained weights were made for, in pixels. */
  readonly inputSize: number;
  /** Turns the names of a public weights file into this model's. */
  readonly renameState?: (name: string) => string;
}

/** All architectures by name. */
export const ARCHITECTURES: Record<ModelName, Architecture> = {
  efficientnet_lite0: {
    build: efficientnetLite0,
    initializers: { conv: "kaimingNormalFanOut", linear: "uniformFanOut" },
    heads: ["classifier.1"],
    linearHead: true,
    inputSize: 224,
    renameState: publicWeightName,
  },
  resnet18: {
    build: resnet18,
    initializers: { conv: "kaimingNormalFanOut", linear: "torchDefault" },
    heads: ["fc"],
    linearHead: true,
    inputSize: 224,
  },
  plain_cnn: {
    build: plainCnn,
    initializers: { conv: "torchDefault", linear: "torchDefault" },
    heads: ["fc"],
    linearHead: true,
    inputSize: 32,
  },
};

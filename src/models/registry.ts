/**
 * The architectures: how each is built, initialized and named.
 *
 * @module
 */
import type { Node } from "./blocks.ts";
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
  readonly build: (input: Node, classes: number) => Node;
  readonly initializers: { readonly conv: Initializer; readonly linear: Initializer };
  /** Name of the last layer, which another number of classes replaces. */
  readonly head: string;
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
    head: "classifier.1",
    inputSize: 224,
    renameState: publicWeightName,
  },
  resnet18: {
    build: resnet18,
    initializers: { conv: "kaimingNormalFanOut", linear: "torchDefault" },
    head: "fc",
    inputSize: 224,
  },
  plain_cnn: {
    build: plainCnn,
    initializers: { conv: "torchDefault", linear: "torchDefault" },
    head: "fc",
    inputSize: 32,
  },
};

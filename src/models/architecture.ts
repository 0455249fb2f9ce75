/**
 * The description of an architecture.
 *
 * @module
 */
import type { BuildOptions, Network, Node } from "./blocks.ts";

/** Distributions that first weights are drawn from; `fan_in` and `fan_out` count as PyTorch counts them. */
export type Distribution =
  /** Normal with variance `2 / fan_out` (He et al. 2015, arXiv:1502.01852). */
  | "kaimingNormalFanOut"
  /** Normal with variance `2 / fan_in`. */
  | "kaimingNormalFanIn"
  /** Uniform with variance `2 / fan_in`: within `±sqrt(6 / fan_in)`. */
  | "kaimingUniformFanIn"
  /** PyTorch's default of `nn.Linear` and `nn.Conv2d`: uniform within `±1 / sqrt(fan_in)`. */
  | "torchDefault"
  /** Uniform within `±1 / sqrt(units)`. */
  | "uniformFanOut"
  /** Normal with this standard deviation. */
  | { readonly std: number };

/** The distributions from which a layer's parameters are initialized. */
export interface Initializer {
  readonly weight: Distribution;
  /** `torchDefault`: uniform within `±1 / sqrt(fan_in)` of the layer's weight. */
  readonly bias: "zeros" | "torchDefault";
}

/** The description of an architecture. */
export interface Architecture {
  /** Symbolic input [n, h, w, 3] → logits [n, classes]. */
  readonly build: (input: Node, options: BuildOptions) => Network;
  readonly initializers: {
    readonly conv: Initializer;
    readonly linear: Initializer;
    /** Layers that are drawn in a way of their own, by name. */
    readonly layers?: Readonly<Record<string, Initializer>>;
  };
  /** Names of the last layers, the main one first, which another number of classes replaces. */
  readonly heads: readonly [string, ...string[]];
  /** True if the main head is a linear layer on a vector of features, which other layers can replace. */
  readonly linearHead: boolean;
  /** Side of the images that the pretrained weights were made for, in pixels. */
  readonly inputSize: number;
  /** Least side of an image of which anything is left behind the last pooling, in pixels. */
  readonly minSize: number;
  /** Least side in training, where that is more: an auxiliary classifier pools further. */
  readonly minTrainingSize?: number;
  /** Turns the names of a public weights file into this model's. */
  readonly renameState?: (name: string) => string;
}

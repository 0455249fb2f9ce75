/**
 * The description of an architecture.
 *
 * @module
 */
import type { PublishedWeights } from "../provision/published_weights.ts";
import type { BuildOptions, Network, Node } from "./blocks.ts";

/** Number of classes of ImageNet, which the counts of an architecture are for. */
export const CATALOG_CLASSES = 1000;

/** The building blocks. A declaration takes them as an argument, so that its facts are read without TensorFlow. */
export type Blocks = typeof import("./blocks.ts");

/** The publication of an architecture. */
export interface Paper {
  /** Such as `He et al. 2015`. */
  readonly authors: string;
  readonly title: string;
  /** arXiv's number. */
  readonly arxiv: string;
}

/** The parameters that tell a state dict of an architecture from those of others. */
export interface Fingerprint {
  /** Parameters and buffers without those of the heads and without BatchNorm's counts of batches. */
  readonly tensors: number;
  /** Name of one of them. */
  readonly name: string;
  /** Its shape in PyTorch's order of axes. */
  readonly shape: readonly number[];
}

/** The number of inputs, or of outputs, of a unit, as PyTorch counts `fan_in` and `fan_out`. */
export type Fan = "fanIn" | "fanOut";

/** Distributions that first weights are drawn from. */
export type Distribution =
  /** Normal with this variance, divided by the fan: 2 is He et al. 2015, arXiv:1502.01852. */
  | { readonly normal: number; readonly over: Fan }
  /** Uniform around 0 with this variance, divided by the fan. */
  | { readonly uniform: number; readonly over: Fan }
  /** Normal with this standard deviation. */
  | { readonly std: number }
  /** PyTorch's default of `nn.Linear` and `nn.Conv2d`: uniform within `±1 / sqrt(fan_in)`. */
  | "torchDefault"
  /** Uniform within `±1 / sqrt(units)`. */
  | "uniformFanOut";

/** The distributions from which a layer's parameters are initialized. */
export interface Initializer {
  readonly weight: Distribution;
  /** `torchDefault`: uniform within `±1 / sqrt(fan_in)` of the layer's weight. */
  readonly bias: "zeros" | "torchDefault";
}

/** The arguments of an architecture's `build`: the building blocks, the images, and the options of the network. */
export type BuildArguments = [nn: Blocks, input: Node, options: BuildOptions];

/** The description of an architecture: all that Lockstep knows of it. */
export interface Architecture {
  /** Symbolic input [n, h, w, 3] → logits [n, classes]. */
  readonly build: (...args: BuildArguments) => Network;
  readonly initializers: {
    readonly conv: Initializer;
    readonly linear: Initializer;
    /** Layers that are drawn in a way of their own, by name. */
    readonly layers?: Readonly<Record<string, Initializer>>;
  };
  /** Names of the last layers, the main one first, which another number of classes replaces. */
  readonly heads: readonly [string, ...string[]];
  /** Features that come into the main head: it has a weight for each, and a bias, per class. */
  readonly headFeatures: number;
  /** True if the main head is a linear layer on a vector of features, which other layers can replace. */
  readonly linearHead: boolean;
  /** Side of the images that the pretrained weights were made for, in pixels. */
  readonly inputSize: number;
  /** Least side of an image of which anything is left behind the last pooling, in pixels. */
  readonly minSize: number;
  /** Least side in training, where that is more: an auxiliary classifier pools further. */
  readonly minTrainingSize?: number;
  /**
   * Turns the names of a public weights file into this model's; names of other kinds come back as they are.
   */
  readonly renameState?: (name: string) => string;
  /** Parameters with 1000 classes, the auxiliary classifier's included; running statistics don't count. */
  readonly parameters: number;
  /** Those of the auxiliary classifier, which counts in training only, with 1000 classes. */
  readonly auxiliaryParameters?: number;
  /**
   * Multiplications, each with its addition, in the convolutions and linear layers for one image of `inputSize`,
   * with 1000 classes and without the auxiliary classifier: what torchvision's metadata calls GFLOPs, times 10^9.
   */
  readonly multiplyAdds: number;
  readonly fingerprint: Fingerprint;
  /** Pretrained weights, where somebody has published any. */
  readonly weights?: PublishedWeights;
  readonly paper?: Paper;
}

/** Parameters of an architecture's last layer with this number of classes. */
export function headParameters(
  { headFeatures }: Pick<Architecture, "headFeatures">,
  classes: number,
): number {
  return (headFeatures + 1) * classes;
}

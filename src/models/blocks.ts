/**
 * Building blocks that the architectures share: layers placed on a symbolic tensor, padded as PyTorch pads.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";
import "./finite_pooling.ts";
import { BatchNorm, Dropout, ReLU6 } from "./layers.ts";
import { AdaptiveAverageFlatten, CeilMaxPool } from "./pooling.ts";
import { TransformInput } from "./transform_input.ts";

/** A symbolic [n, h, w, c] tensor of a functional model. */
export type Node = tf.SymbolicTensor;

/** The options on which an architecture's graph depends beside its input. */
export interface BuildOptions {
  /** Number of classes: units of the last layer. */
  readonly classes: number;
  /**
   * Puts the main head on features [n, features]: a linear layer of that name, or the layers that replace it.
   */
  readonly head: (name: string, features: Node) => Node;
  /** Share of units that the architecture's own Dropout layers drop; unless given, as in its paper. */
  readonly dropout?: number;
  /** Greatest probability of skipping a block, where the architecture has stochastic depth. */
  readonly stochasticDepth?: number;
  /** Take images normalized for ImageNet to the range that Inception's weights were made for. */
  readonly transformInput?: boolean;
}

/** The outputs that an architecture computes from its input. */
export interface Network {
  /** [n, classes]. */
  readonly logits: Node;
  /** [n, classes] of an auxiliary classifier, which counts in training only. */
  readonly auxiliary?: Node;
}

/** The zero padding of a convolution's input. */
export type Padding =
  /** `(kernel - 1) / 2` on all sides. */
  | "torch"
  /** SAME, which for strides above 1 pads less before than after. */
  | "tensorflow"
  /** This number of zeros on all sides. */
  | number;

/** Settings of {@linkcode conv}. */
export interface ConvOptions {
  readonly filters: number;
  /** Side, or height and width. */
  readonly kernel: number | readonly [number, number];
  readonly stride?: number;
  readonly bias?: boolean;
  /** `torch` unless given. */
  readonly padding?: Padding;
}

/** Settings of {@linkcode depthwiseConv}. */
export type DepthwiseOptions = Pick<ConvOptions, "kernel" | "stride" | "padding">;

/** Settings of {@linkcode batchNorm}; PyTorch's defaults unless given. */
export interface BatchNormOptions {
  readonly epsilon?: number;
  /** Weight of the newest batch in the running statistics. */
  readonly momentum?: number;
}

/** Puts a layer on a node. */
export function on(layer: tf.layers.Layer, input: Node | Node[]): Node {
  return layer.apply(input) as Node;
}

/**
 * A convolution. Where PyTorch's padding isn't TensorFlow's SAME, a layer of zeros goes before it: a `Conv2D`
 * with EXPLICIT padding runs at half the speed on CPUs.
 */
export function conv(name: string, x: Node, options: ConvOptions): Node {
  const { filters, stride = 1, bias = false } = options;
  const { input, padding } = padded(name, x, options);
  return on(
    tf.layers.conv2d({
      name,
      filters,
      kernelSize: sidesOf(options.kernel),
      strides: stride,
      padding,
      useBias: bias,
      kernelInitializer: "zeros",
    }),
    input,
  );
}

/** A convolution of each channel by itself (`groups` = channels), without bias. */
export function depthwiseConv(name: string, x: Node, options: DepthwiseOptions): Node {
  const { input, padding } = padded(name, x, options);
  return on(
    tf.layers.depthwiseConv2d({
      name,
      kernelSize: sidesOf(options.kernel),
      strides: options.stride ?? 1,
      padding,
      useBias: false,
      depthwiseInitializer: "zeros",
    }),
    input,
  );
}

/**
 * Returns the input of a convolution and its own padding: the input is padded with zeros if the convolution
 * can't pad it.
 */
function padded(
  name: string,
  x: Node,
  { kernel, stride = 1, padding = "torch" }: DepthwiseOptions,
): { input: Node; padding: "same" | "valid" } {
  if (padding === "tensorflow") return { input: x, padding: "same" };
  const half = sidesOf(kernel).map((side) => (side - 1) / 2);
  const zeros = padding === "torch" ? half : half.map(() => padding);
  if (zeros.every((size) => size === 0)) return { input: x, padding: "valid" };
  if (stride === 1 && zeros.join() === half.join()) return { input: x, padding: "same" };
  return { input: zeroPad(`${name}.pad`, x, zeros as [number, number]), padding: "valid" };
}

function sidesOf(kernel: ConvOptions["kernel"]): [number, number] {
  return typeof kernel === "number" ? [kernel, kernel] : [...kernel];
}

/** Zeros on all four sides: as many above, below, left and right, or so many in height and in width. */
export function zeroPad(name: string, x: Node, size: number | readonly [number, number]): Node {
  const [height, width] = sidesOf(size);
  const padding: [[number, number], [number, number]] = [[height, height], [width, width]];
  return on(tf.layers.zeroPadding2d({ name, padding }), x);
}

/** BatchNorm over the channels. */
export function batchNorm(name: string, x: Node, options: BatchNormOptions = {}): Node {
  const { epsilon = 1e-5, momentum = 0.1 } = options;
  return on(new BatchNorm({ name, epsilon, momentum }), x);
}

/** ReLU. */
export function relu(name: string, x: Node): Node {
  return on(tf.layers.activation({ name, activation: "relu" }), x);
}

/** ReLU6: `min(max(x, 0), 6)`. */
export function relu6(name: string, x: Node): Node {
  return on(new ReLU6({ name }), x);
}

/**
 * Dropout of single units.
 *
 * @param salt Sets the masks of a network's layers apart
 */
export function dropUnits(name: string, x: Node, rate: number, salt: number): Node {
  return on(new Dropout({ name, rate, salt }), x);
}

/**
 * Dropout of whole samples: stochastic depth, see `DropoutConfig`.
 *
 * @param salt Sets the masks of a network's layers apart
 */
export function dropSamples(name: string, x: Node, rate: number, salt: number): Node {
  return on(new Dropout({ name, rate, salt, perSample: true }), x);
}

/** Sum of nodes of one shape. */
export function add(name: string, nodes: Node[]): Node {
  return on(tf.layers.add({ name }), nodes);
}

/** Nodes side by side in their channels. */
export function concat(name: string, nodes: Node[]): Node {
  return on(tf.layers.concatenate({ name, axis: -1 }), nodes);
}

/** Maximum of each window that lies wholly in the input; a `stride` of 2 unless given. */
export function maxPool(name: string, x: Node, size: number, stride = 2): Node {
  const config = { name, poolSize: size, strides: stride, padding: "valid" } as const;
  return on(tf.layers.maxPooling2d(config), x);
}

/** Maximum of each window, the last ones of which may reach beyond the edge; a `stride` of 2 unless given. */
export function ceilMaxPool(name: string, x: Node, size: number, stride = 2): Node {
  return on(new CeilMaxPool({ name, size, stride }), x);
}

/** Mean of each window that lies wholly in the input. */
export function windowMean(name: string, x: Node, size: number, stride: number): Node {
  const config = { name, poolSize: size, strides: stride, padding: "valid" } as const;
  return on(tf.layers.averagePooling2d(config), x);
}

/** A linear layer: [n, in] → [n, units]. */
export function linear(name: string, x: Node, units: number): Node {
  return on(tf.layers.dense({ name, units, kernelInitializer: "zeros" }), x);
}

/** Mean over height and width: [n, h, w, c] → [n, c]. */
export function averagePool(name: string, x: Node): Node {
  return on(tf.layers.globalAveragePooling2d({ name }), x);
}

/** Means over `bins` × `bins` parts, in PyTorch's order of elements: [n, h, w, c] → [n, c · bins · bins]. */
export function adaptiveAverageFlatten(name: string, x: Node, bins: number): Node {
  return on(new AdaptiveAverageFlatten({ name, bins }), x);
}

/** Images [n, h, w, 3] normalized for ImageNet → the same ones from -1 to 1. */
export function transformInput(name: string, x: Node): Node {
  return on(new TransformInput({ name }), x);
}

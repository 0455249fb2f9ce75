/**
 * Building blocks that the architectures share: layers placed on a symbolic tensor, padded as PyTorch pads.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";

/** A symbolic [n, h, w, c] tensor of a functional model. */
export type Node = tf.SymbolicTensor;

/** What an architecture's graph depends on beside its input. */
export interface BuildOptions {
  /** Number of classes: units of the last layer. */
  readonly classes: number;
  /** Puts the main head on features [n, features]: a linear layer of that name, or what stands in its place. */
  readonly head: (name: string, features: Node) => Node;
  /** Share of units that the architecture's own Dropout layers drop; unless given, as in its paper. */
  readonly dropout?: number;
  /** Greatest probability of skipping a block, where the architecture has stochastic depth. */
  readonly stochasticDepth?: number;
  /** Take pictures normalized for ImageNet to the range that Inception's weights were made for. */
  readonly transformInput?: boolean;
}

/** What an architecture makes of its input. */
export interface Network {
  /** [n, classes]. */
  readonly logits: Node;
  /** [n, classes] of an auxiliary classifier, which counts in training only. */
  readonly auxiliary?: Node;
}

/** Settings of {@linkcode conv}. */
export interface ConvOptions {
  readonly filters: number;
  readonly kernel: number;
  readonly stride?: number;
  readonly bias?: boolean;
  /**
   * `torch`: `(kernel - 1) / 2` on all sides (the default); `tensorflow`: SAME, which for strides above 1
   * pads less before than after.
   */
  readonly padding?: "torch" | "tensorflow";
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
  const { filters, kernel, stride = 1, bias = false, padding = "torch" } = options;
  const same = padding === "tensorflow" || stride === 1;
  const input = same || kernel === 1 ? x : zeroPad(`${name}.pad`, x, (kernel - 1) / 2);
  return on(
    tf.layers.conv2d({
      name,
      filters,
      kernelSize: kernel,
      strides: stride,
      padding: same ? "same" : "valid",
      useBias: bias,
      kernelInitializer: "zeros",
    }),
    input,
  );
}

/** Zeros on all four sides. */
export function zeroPad(name: string, x: Node, size: number): Node {
  return on(tf.layers.zeroPadding2d({ name, padding: size }), x);
}

/** ReLU. */
export function relu(name: string, x: Node): Node {
  return on(tf.layers.activation({ name, activation: "relu" }), x);
}

/** A linear layer: [n, in] → [n, units]. */
export function linear(name: string, x: Node, units: number): Node {
  return on(tf.layers.dense({ name, units, kernelInitializer: "zeros" }), x);
}

/** Mean over height and width: [n, h, w, c] → [n, c]. */
export function averagePool(name: string, x: Node): Node {
  return on(tf.layers.globalAveragePooling2d({ name }), x);
}

/**
 * PyTorch's poolings that `tf.layers` lacks. They look at the input's size when they are called, so that a
 * network takes images of any size.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";
import { passOnNonFinite } from "./finite_pooling.ts";

type Inputs = tf.Tensor | tf.Tensor[];

function one(inputs: Inputs): tf.Tensor4D {
  return (Array.isArray(inputs) ? inputs[0] : inputs) as tf.Tensor4D;
}

/** Settings of {@linkcode CeilMaxPool}. */
export interface CeilMaxPoolConfig {
  readonly name: string;
  /** Side of a window. */
  readonly size: number;
  readonly stride: number;
}

/**
 * `nn.MaxPool2d(size, stride, ceil_mode=True)`: [n, h, w, c] → [n, ⌈(h - size) / stride⌉ + 1, …, c]. Windows may
 * reach over the right and lower edge, where nothing counts.
 */
export class CeilMaxPool extends tf.layers.Layer {
  static readonly className = "CeilMaxPool";
  readonly #config: CeilMaxPoolConfig;

  constructor(config: CeilMaxPoolConfig) {
    super({ name: config.name });
    this.#config = config;
  }

  override call(inputs: Inputs, options?: { training?: boolean }): tf.Tensor {
    const { size, stride } = this.#config;
    return tf.tidy(() => {
      const x = one(inputs);
      const [, height, width] = x.shape;
      const [below, right] = [height, width].map((side) =>
        (this.#windows(side) - 1) * stride + size - side
      );
      // An odd side fits 3×3 windows at stride 2 as it is.
      const isWhole = below <= 0 && right <= 0;
      const padded = isWhole
        ? x
        : tf.pad(x, [[0, 0], [0, Math.max(below, 0)], [0, Math.max(right, 0)], [0, 0]], -Infinity);
      return passOnNonFinite(x, tf.maxPool(padded, size, stride, "valid"), options?.training);
    });
  }

  override computeOutputShape(inputShape: tf.Shape): tf.Shape {
    const [count, height, width, channels] = inputShape;
    const windows = (side: number | null) => side === null ? null : this.#windows(side);
    return [count, windows(height), windows(width), channels];
  }

  override getConfig(): tf.serialization.ConfigDict {
    const { size, stride } = this.#config;
    return { ...super.getConfig(), poolSize: [size, size], strides: [stride, stride] };
  }

  #windows(side: number): number {
    const { size, stride } = this.#config;
    const windows = Math.ceil((side - size) / stride) + 1;
    // The last window must begin inside the input.
    return (windows - 1) * stride >= side ? windows - 1 : windows;
  }
}

/** Settings of {@linkcode AdaptiveAverageFlatten}. */
export interface AdaptiveAverageFlattenConfig {
  readonly name: string;
  /** Bins in height and in width. */
  readonly bins: number;
}

/**
 * `nn.AdaptiveAvgPool2d(bins)` and `torch.flatten(x, 1)` in one: [n, h, w, c] → [n, c · bins · bins], the channel
 * being the slowest index as in PyTorch, so that the weights of the linear layer behind are PyTorch's.
 *
 * Bin `i` of `k` over `s` pixels is the mean of pixels ⌊i·s/k⌋ to ⌈(i+1)·s/k⌉ - 1; bins may overlap, and pixels
 * may be in several when there are fewer pixels than bins.
 */
export class AdaptiveAverageFlatten extends tf.layers.Layer {
  static readonly className = "AdaptiveAverageFlatten";
  readonly #bins: number;

  constructor(config: AdaptiveAverageFlattenConfig) {
    super({ name: config.name });
    this.#bins = config.bins;
  }

  override call(inputs: Inputs): tf.Tensor {
    const bins = this.#bins;
    return tf.tidy(() => {
      const x = one(inputs);
      const [count, height, width, channels] = x.shape;
      const planes = tf.transpose(x, [0, 3, 1, 2]);
      if (height === bins && width === bins) {
        return tf.reshape(planes, [count, channels * bins * bins]);
      }
      // Means over rectangles as one product, instead of a slice and a mean for each bin.
      const rows = tf.reshape(planes, [count * channels, height * width]);
      const means = tf.matMul(rows as tf.Tensor2D, rectangleWeights(height, width, bins));
      return tf.reshape(means, [count, channels * bins * bins]);
    });
  }

  override computeOutputShape(inputShape: tf.Shape): tf.Shape {
    return [inputShape[0], inputShape[3]! * this.#bins ** 2];
  }

  override getConfig(): tf.serialization.ConfigDict {
    return { ...super.getConfig(), bins: this.#bins };
  }
}

/** Weight of each pixel in each bin: float32 [height · width, bins · bins]. */
function rectangleWeights(height: number, width: number, bins: number): tf.Tensor2D {
  const weights = new Float32Array(height * width * bins * bins);
  for (let i = 0; i < bins; i++) {
    const [top, bottom] = binEdges(i, bins, height);
    for (let j = 0; j < bins; j++) {
      const [left, right] = binEdges(j, bins, width);
      const weight = 1 / ((bottom - top) * (right - left));
      for (let y = top; y < bottom; y++) {
        for (let x = left; x < right; x++) {
          weights[((y * width + x) * bins + i) * bins + j] = weight;
        }
      }
    }
  }
  return tf.tensor2d(weights, [height * width, bins * bins]);
}

/** First pixel of a bin, and the one behind its last. */
function binEdges(bin: number, bins: number, side: number): [number, number] {
  return [Math.floor(bin * side / bins), Math.ceil((bin + 1) * side / bins)];
}

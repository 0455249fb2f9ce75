/**
 * The targets of a batch on their way into the loss: made here, or on the device of the labels alone.
 *
 * @module
 */
import { DATA_TYPES, typeAttribute } from "../engine/binding/attributes.ts";
import { chosen } from "../engine/array_ops.ts";
import { tf } from "../engine/tf.ts";
import { tensorFrom } from "../engine/transfer.ts";
import { nativeBackend } from "../engine/backend.ts";
import {
  makeTargets,
  type MixedLabels,
  type TargetOptions,
  targetValues,
  targetWeight,
} from "../optim/loss.ts";

/** The labels of a batch. */
export interface BatchLabels {
  readonly labels: Int32Array;
  /** Present when each image is mixed with another. */
  readonly mix?: MixedLabels | undefined;
}

/** Targets as the loss takes them. */
export interface TargetTensors {
  /** int32 [n]. */
  readonly labels: tf.Tensor1D;
  /** float32 [n, classes]. */
  readonly distributions: tf.Tensor2D;
  /** float32 [n]. */
  readonly scales: tf.Tensor1D;
}

/** Values of {@linkcode targetValues}. */
const VALUES = 4;

/**
 * Makes tensors of batches' labels, and reads them within a traced function.
 *
 * A GPU gets the labels: the distributions would be more bytes than small images. They have the bits of `makeTargets`,
 * but for class weights, which the device multiplies and sums in float32.
 */
export class TargetForm {
  readonly #options: TargetOptions;
  readonly #isOnDevice: boolean;

  /** @param isOnDevice Make the distributions on the device; by default on a GPU */
  constructor(options: TargetOptions, isOnDevice = nativeBackend().runtime.hasGpu) {
    this.#options = options;
    this.#isOnDevice = isOnDevice;
  }

  /** Returns the divisor of the sum of a batch's losses: see `makeTargets`. */
  weightOf({ labels, mix }: BatchLabels): number {
    return targetWeight(labels, this.#options.classWeights, mix);
  }

  /** The tensors of a batch; the caller disposes of them. */
  inputs({ labels, mix }: BatchLabels): tf.Tensor[] {
    if (this.#isOnDevice) return [packed(labels, this.#options, mix)];
    const targets = makeTargets(labels, this.#options, mix);
    const count = labels.length;
    return [
      tensorFrom([count], "int32", bytesOf(targets.labels)),
      tensorFrom([count, this.#options.numClasses], "float32", bytesOf(targets.distributions)),
      tensorFrom([count], "float32", bytesOf(targets.scales)),
    ];
  }

  /**
   * Returns the targets of a batch's tensors, as ops.
   *
   * @param rows Samples of the batch
   */
  read(inputs: readonly tf.Tensor[], rows: number): TargetTensors {
    if (this.#isOnDevice) return unpacked(inputs[0] as tf.Tensor1D, rows, this.#options);
    const [labels, distributions, scales] = inputs;
    return {
      labels: labels as tf.Tensor1D,
      distributions: distributions as tf.Tensor2D,
      scales: scales as tf.Tensor1D,
    };
  }
}

/**
 * float32: the values of a distribution, the classes that count in accuracies, and where images are mixed the other
 * classes.
 */
function packed(labels: Int32Array, options: TargetOptions, mix: MixedLabels | undefined) {
  const [rest, own, partner, both] = targetValues(options, mix?.share);
  const parts = !mix
    ? [[rest, own, partner, both], labels]
    : mix.share >= 0.5
    ? [[rest, own, partner, both], labels, mix.partnerLabels]
    : [[rest, partner, own, both], mix.partnerLabels, labels];
  const floats = Float32Array.from(parts.flatMap((part) => [...part]));
  return tensorFrom([floats.length], "float32", bytesOf(floats));
}

function unpacked(
  vector: tf.Tensor1D,
  rows: number,
  { numClasses, classWeights }: TargetOptions,
): TargetTensors {
  const isMixed = vector.shape[0] > VALUES + rows;
  const [rest, first, second, both, ...labels] = tf.split(vector, [
    ...new Array<number>(VALUES).fill(1),
    ...(isMixed ? [rows, rows] : [rows]),
  ]);
  const classes = tf.range(0, numClasses, 1, "float32").reshape([1, numClasses]);
  // Comparisons and choices of float32 stay on a GPU; those of int32 go through the host.
  const [isFirst, isSecond] = labels.map((each) => tf.equal(each.reshape([rows, 1]), classes));
  const choose = (condition: tf.Tensor, a: tf.Tensor, b: tf.Tensor) =>
    chosen(condition, a, b, "float32");
  let distributions = choose(isFirst, first, rest);
  if (isSecond) distributions = choose(isSecond, choose(isFirst, both, second), distributions);
  let scales: tf.Tensor = tf.onesLike(labels[0]);
  if (classWeights) {
    const weighted = tf.mul(distributions, tf.tensor2d([...classWeights], [1, numClasses]));
    const sums = tf.sum(weighted, 1, true);
    const isZero = tf.equal(sums, 0);
    const shares = tf.div(weighted, choose(isZero, tf.onesLike(sums), sums));
    distributions = choose(isZero, distributions, shares);
    scales = sums.reshape([rows]);
  }
  return {
    labels: int32Of(labels[0]),
    distributions: distributions as tf.Tensor2D,
    scales: scales as tf.Tensor1D,
  };
}

function int32Of(floats: tf.Tensor): tf.Tensor1D {
  return nativeBackend().executeSingleOutput("Cast", [
    typeAttribute("SrcT", DATA_TYPES.TF_FLOAT),
    typeAttribute("DstT", DATA_TYPES.TF_INT32),
  ], [floats]) as tf.Tensor1D;
}

function bytesOf(array: Float32Array | Int32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

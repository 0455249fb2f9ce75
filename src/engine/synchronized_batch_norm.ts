/**
 * Batch normalization whose moments are those of all ranks' rows, within a captured step.
 *
 * The step's function stops at two points per layer. In the forward pass the mean and the variance of the own rows leave
 * it, and those of all ranks' rows come back; in the backward pass the same happens to two sums of gradients.
 * `src/train/moment_exchange.ts` computes what comes back.
 *
 * @module
 */
import {
  type Attribute,
  ATTRIBUTE_TYPES,
  DATA_TYPES,
  typeAttribute,
} from "./binding/attributes.ts";
import type { ExchangePoint } from "./binding/runtime.ts";
import { nativeBackend } from "./backend.ts";
import { FLOAT_TYPE } from "./gradients.ts";
import type { BatchNormResult, BatchNormState } from "./native_ops.ts";
import { tf } from "./tf.ts";

/** The two kinds of points. C is the number of channels, N that of the values of a channel in all ranks' rows. */
export const MOMENT_POINTS = {
  /**
   * Given: mean and variance [2C] over the own rows. Taken: mean, variance and the variance · N / (N − correction) [3C]
   * over all ranks' rows.
   */
  moments: "moments",
  /**
   * Given: Σ dy and Σ dy · x̂ [2C] over the own rows, where x̂ is the normalized input. Taken: the same over all ranks'
   * rows, divided by N, in the own gradients' scale.
   */
  gradients: "gradients",
} as const;

/** A point of a layer, with the facts that its exchange needs. */
export interface MomentPoint extends ExchangePoint {
  readonly facts: {
    /** Values of a channel in one row: height · width. */
    readonly places: number;
    /** Subtracted from N for the running variance; 1 is Bessel's correction. */
    readonly correction: number;
  };
}

/** Tells whether a step is being recorded whose moments meet. */
export function exchangesMoments(): boolean {
  return nativeBackend().runtime.tracer?.addExchangePoint !== undefined;
}

const attributesOf = (epsilon: number): Attribute[] => [
  FLOAT_TYPE,
  typeAttribute("U", DATA_TYPES.TF_FLOAT),
  { name: "epsilon", type: ATTRIBUTE_TYPES.TF_ATTR_FLOAT, value: epsilon },
  { name: "data_format", type: ATTRIBUTE_TYPES.TF_ATTR_STRING, value: "NHWC" },
  { name: "is_training", type: ATTRIBUTE_TYPES.TF_ATTR_BOOL, value: false },
];

/**
 * As {@linkcode trainingBatchNorm}, over the rows of all ranks. The gradients of gamma and beta are the own rows' part.
 *
 * @param x float32 [n, h, w, c]
 * @param momentum PyTorch's: weight of the batch
 * @param correction Subtracted from the number of values for the running variance (default 1)
 * @throws {TypeError} outside a function that exchanges values
 */
export function synchronizedBatchNorm(
  x: tf.Tensor4D,
  { gamma, beta, movingMean, movingVariance }: BatchNormState,
  momentum: number,
  epsilon: number,
  correction = 1,
): BatchNormResult {
  const [, height, width, channels] = x.shape;
  const facts = { places: height * width, correction };
  const pointOf = (kind: string, given: number, taken: number): MomentPoint => ({
    kind,
    given: given * channels,
    taken: taken * channels,
    facts,
  });
  let statistics: tf.Tensor[] = [];
  const normalize = tf.customGrad((...args) => {
    const [input, scale, offset] = args as tf.Tensor[];
    const save = args[3] as unknown as tf.GradSaveFunc;
    const all = exchangePoint(ownMoments(input), pointOf(MOMENT_POINTS.moments, 2, 3));
    const [mean, variance, unbiased] = tf.split(all, 3);
    const y = normalized(input, { scale, offset, mean, variance }, epsilon);
    // customGrad disposes of all but its one value: the statistics leave by this side door.
    statistics = [tf.keep(mean), tf.keep(unbiased)];
    save([input, scale, mean, variance]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) =>
      gradients(dy, saved, epsilon, pointOf(MOMENT_POINTS.gradients, 2, 2));
    return { value: y, gradFunc };
  });
  const y = normalize(x, gamma, beta) as tf.Tensor4D;
  const [mean, variance] = statistics;
  const moved = (running: tf.Tensor1D, batch: tf.Tensor) =>
    tf.add(tf.mul(running, 1 - momentum), tf.mul(batch, momentum)) as tf.Tensor1D;
  const result = {
    y,
    movingMean: moved(movingMean, mean),
    movingVariance: moved(movingVariance, variance),
  };
  tf.dispose(statistics);
  return result;
}

/** Mean and variance of each channel: [2C]. The deviations are squared: E[x²] − E[x]² would lose a far mean's digits. */
function ownMoments(x: tf.Tensor): tf.Tensor1D {
  const mean = tf.mean(x, [0, 1, 2]);
  const variance = tf.mean(tf.squaredDifference(x, mean), [0, 1, 2]);
  return tf.concat([mean, variance]) as tf.Tensor1D;
}

interface Moments {
  readonly scale: tf.Tensor;
  readonly offset: tf.Tensor;
  readonly mean: tf.Tensor;
  readonly variance: tf.Tensor;
}

/** `(x − mean) / √(variance + epsilon) · scale + offset`. */
function normalized(x: tf.Tensor, { scale, offset, mean, variance }: Moments, epsilon: number) {
  return nativeBackend().executeMultipleOutputs(
    "FusedBatchNormV3",
    attributesOf(epsilon),
    [x, scale, offset, mean, variance],
    6,
  )[0];
}

/**
 * `dx = scale / √(variance + epsilon) · (dy − Σ dy / N − x̂ · Σ (dy · x̂) / N)`, with the sums over all ranks' rows.
 */
function gradients(
  dy: tf.Tensor,
  [x, scale, mean, variance]: tf.Tensor[],
  epsilon: number,
  point: ExchangePoint,
): tf.Tensor[] {
  // With constant moments: dx is the first term, and the gradients of scale and offset are the sums.
  const unused = tf.zerosLike(mean);
  const [first, dScale, dOffset] = nativeBackend().executeMultipleOutputs(
    "FusedBatchNormGradV3",
    attributesOf(epsilon),
    [dy, x, scale, mean, variance, unused],
    5,
  );
  const all = exchangePoint(tf.concat([dOffset, dScale]) as tf.Tensor1D, point);
  const [meanOfDy, meanOfProduct] = tf.split(all, 2);
  const factor = tf.neg(tf.mul(scale, tf.rsqrt(tf.add(variance, epsilon))));
  const rest = normalized(x, {
    scale: tf.mul(factor, meanOfProduct),
    offset: tf.mul(factor, meanOfDy),
    mean,
    variance,
  }, epsilon);
  return [tf.add(first, rest), dScale, dOffset];
}

/** Hands a vector out, and returns the one that is taken for it. */
function exchangePoint(values: tf.Tensor1D, point: ExchangePoint): tf.Tensor1D {
  const backend = nativeBackend();
  const { tracer } = backend.runtime;
  if (!tracer?.addExchangePoint) {
    throw new TypeError("Moments meet only in a captured step that exchanges values");
  }
  const [id] = backend.getInputTensorIds([values]);
  return backend.createOutputTensor(tracer.addExchangePoint(id, point)) as tf.Tensor1D;
}

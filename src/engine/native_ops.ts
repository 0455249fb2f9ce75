/**
 * Fused TensorFlow ops with their native gradients, for what tfjs composes of many.
 *
 * @module
 */
import {
  type Attribute,
  ATTRIBUTE_TYPES,
  DATA_TYPES,
  typeAttribute,
} from "./binding/attributes.ts";
import { nativeBackend } from "./backend.ts";
import { isDeterministic } from "./native_runtime.ts";
import { FLOAT_TYPE } from "./gradients.ts";
import { drawStateless } from "./random_ops.ts";
import { randomState } from "./random_state.ts";
import { tf } from "./tf.ts";

/** Result of {@linkcode trainingBatchNorm}. */
export interface BatchNormResult {
  /** Normalized, scaled and shifted: the shape of the input. */
  readonly y: tf.Tensor4D;
  /** float32 [c]. */
  readonly movingMean: tf.Tensor1D;
  /** float32 [c]. */
  readonly movingVariance: tf.Tensor1D;
}

/** The tensors that BatchNorm needs beside its input; all float32 [c]. */
export interface BatchNormState {
  readonly gamma: tf.Tensor1D;
  readonly beta: tf.Tensor1D;
  readonly movingMean: tf.Tensor1D;
  readonly movingVariance: tf.Tensor1D;
}

const floatAttribute = (name: string, value: number): Attribute => ({
  name,
  type: ATTRIBUTE_TYPES.TF_ATTR_FLOAT,
  value,
});

/**
 * Batch normalization in training mode (Ioffe & Szegedy 2015, arXiv:1502.03167), with PyTorch's update of
 * the running statistics: `running = (1 - momentum) · running + momentum · batch`, the variance unbiased.
 *
 * @param x float32 [n, h, w, c]
 * @param momentum PyTorch's: weight of the batch
 */
export function trainingBatchNorm(
  x: tf.Tensor4D,
  { gamma, beta, movingMean, movingVariance }: BatchNormState,
  momentum: number,
  epsilon: number,
): BatchNormResult {
  const attributes: Attribute[] = [
    FLOAT_TYPE,
    typeAttribute("U", DATA_TYPES.TF_FLOAT),
    floatAttribute("epsilon", epsilon),
    { name: "data_format", type: ATTRIBUTE_TYPES.TF_ATTR_STRING, value: "NHWC" },
    { name: "is_training", type: ATTRIBUTE_TYPES.TF_ATTR_BOOL, value: true },
  ];
  let statistics: tf.Tensor1D[] = [];
  const normalize = tf.customGrad((...args) => {
    const [input, scale, offset] = args as tf.Tensor[];
    const save = args[3] as unknown as tf.GradSaveFunc;
    const backend = nativeBackend();
    const { shifted, center } = centered(input as tf.Tensor4D);
    const [y, mean, variance, ...reserved] = backend.executeMultipleOutputs(
      "FusedBatchNormV3",
      [...attributes, floatAttribute("exponential_avg_factor", momentum)],
      [shifted, scale, offset, center ? tf.sub(movingMean, center) : movingMean, movingVariance],
      6,
    );
    // customGrad disposes of all but its one value: the statistics leave by this side door.
    const newMean = center ? tf.add(mean, center) : mean;
    statistics = [tf.keep(newMean) as tf.Tensor1D, tf.keep(variance) as tf.Tensor1D];
    save([shifted, scale, ...reserved]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) =>
      backend.executeMultipleOutputs("FusedBatchNormGradV3", attributes, [dy, ...saved], 5).slice(
        0,
        3,
      );
    return { value: y, gradFunc };
  });
  const y = normalize(x, gamma, beta) as tf.Tensor4D;
  const [mean, variance] = statistics.map(adopt);
  return { y, movingMean: mean, movingVariance: variance };
}

/**
 * Returns BatchNorm's input in the place of `x`. XLA computes the variance as E[x²] − E[x]², which loses the digits
 * that a mean far from 0 takes up; around its mean, `x` loses none. TensorFlow's own kernels subtract the mean first.
 */
function centered(x: tf.Tensor4D): { shifted: tf.Tensor4D; center?: tf.Tensor1D } {
  if (!nativeBackend().runtime.tracer?.xla) return { shifted: x };
  const center = tf.mean(x, [0, 1, 2]) as tf.Tensor1D;
  return { shifted: tf.sub(x, center), center };
}

/** Hands a kept tensor over to the present scope. */
function adopt<T extends tf.Tensor>(kept: T): T {
  const tracked = tf.clone(kept);
  kept.dispose();
  return tracked;
}

/**
 * Cross-entropy of each sample: `Σ −target · log softmax(logits)`.
 *
 * @param logits float32 [n, classes]
 * @param targets float32 [n, classes]; each row adds up to 1
 * @param composed Compose it of several ops; by default where results must be deterministic: TensorFlow's own op isn't
 *   so on GPUs
 * @returns float32 [n]
 */
export function softmaxCrossEntropy(
  logits: tf.Tensor2D,
  targets: tf.Tensor2D,
  composed = isDeterministic(),
): tf.Tensor1D {
  const crossEntropy = tf.customGrad((...args) => {
    const [x] = args as tf.Tensor[];
    const save = args[1] as unknown as tf.GradSaveFunc;
    const [loss, gradient] = composed
      ? composedCrossEntropy(x, targets)
      : nativeBackend().executeMultipleOutputs(
        "SoftmaxCrossEntropyWithLogits",
        [FLOAT_TYPE],
        [x, targets],
        2,
      );
    save([gradient]);
    return {
      value: loss,
      gradFunc: (dy: tf.Tensor, [saved]: tf.Tensor[]) => [tf.mul(tf.expandDims(dy, -1), saved)],
    };
  });
  return crossEntropy(logits) as tf.Tensor1D;
}

/** The losses and their gradients. The largest logit of a row is subtracted first, so that nothing overflows. */
function composedCrossEntropy(logits: tf.Tensor, targets: tf.Tensor): [tf.Tensor, tf.Tensor] {
  const shifted = tf.sub(logits, tf.max(logits, 1, true));
  const exponentials = tf.exp(shifted);
  const sums = tf.sum(exponentials, 1, true);
  // A class without a share in the target adds nothing, however improbable it is.
  const terms = tf.mul(targets, tf.sub(tf.log(sums), shifted));
  const counted = tf.where(tf.equal(targets, 0), tf.zerosLike(terms), terms);
  return [tf.sum(counted, 1), tf.sub(tf.div(exponentials, sums), targets)];
}

/**
 * Zeroes a share of the units and scales the others by `1 / (1 - rate)` (Srivastava et al. 2014).
 *
 * The mask is a function of the step's seed (see `setStepSeed`), of `salt`, and of the row in the global
 * batch; it doesn't depend on the number of workers.
 *
 * @param x float32 [n, …]: this rank's rows
 * @param rate Share of zeroes, in [0, 1)
 * @param salt Sets the layers of a model apart
 * @param perSample Drop whole samples instead of units (stochastic depth)
 */
export function dropout(x: tf.Tensor, rate: number, salt: number, perSample = false): tf.Tensor {
  if (rate === 0) return x;
  const { seed, rowOffset, globalRows } = randomState();
  const [rows, ...rest] = x.shape;
  const unitShape = perSample ? rest.map(() => 1) : rest;
  return tf.tidy(() => {
    // A rank may run alone, outside a step: then its rows are the whole batch.
    const drawnShape = [Math.max(globalRows, rows), ...unitShape];
    const saltedSeed = tf.add(seed, tf.tensor1d([salt, 0], "int32"));
    const uniform = drawStateless("StatelessRandomUniform", drawnShape, saltedSeed);
    const begin = tf.concat([tf.reshape(rowOffset, [1]), tf.zeros([unitShape.length], "int32")]);
    const own = nativeBackend().executeSingleOutput(
      "Slice",
      [FLOAT_TYPE, typeAttribute("Index", DATA_TYPES.TF_INT32)],
      [uniform, begin, tf.tensor1d([rows, ...unitShape], "int32")],
    );
    const mask = tf.cast(tf.greaterEqual(own, rate), "float32");
    return tf.mul(x, tf.mul(mask, 1 / (1 - rate)));
  });
}

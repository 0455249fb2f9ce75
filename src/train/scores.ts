/**
 * What a model makes of pictures in eval mode.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";
import { applyModel, classesOf } from "../models/heads.ts";
import type { MetricPart } from "../metrics/metric_parts.ts";
import type { Metric } from "../metrics/user_metrics.ts";
import { type LossFunction, type LossName, lossPerSample, makeTargets } from "../optim/loss.ts";
import { imagesTensor, type LabelledImages, targetTensors } from "./labelled_images.ts";

/** What a model makes of some pictures in eval mode. */
export interface Scores {
  /** Sum of the samples' losses, each times its weight. */
  readonly lossSum: number;
  /** Sum of the samples' weights. */
  readonly weight: number;
  /** The class with the highest logit for each picture. */
  readonly predictions: Int32Array;
  /** The probability that the model gives that class. */
  readonly confidences: Float32Array;
  /** Metrics of the user's own, in their order. */
  readonly metrics?: readonly MetricPart[];
}

/**
 * Scores pictures with a model as it is, op by op: for a use or two, where tracing wouldn't pay.
 *
 * @returns As the replica's `evaluate`, with plain cross-entropy, which for a head that ends in LogSoftmax is
 * the negative log-likelihood
 */
export function scoreOnce(model: tf.LayersModel, batch: LabelledImages): Scores {
  const targets = makeTargets(batch.labels, { numClasses: classesOf(model), labelSmoothing: 0 });
  const [images, ...rest] = [imagesTensor(batch), ...targetTensors(targets)];
  const scored = tf.tidy(() => score(applyModel(model, images, false)[0], "crossEntropy", rest));
  tf.dispose([images, ...rest]);
  return readScores(scored, targets.weight);
}

/**
 * Sum of the losses, and for each picture the class with the highest logit and its probability; then what metrics of
 * the user's own give.
 */
export function score(
  logits: tf.Tensor2D,
  loss: LossName | LossFunction,
  [labels, distributions, scales]: readonly tf.Tensor[],
  metrics: readonly Metric[] = [],
): tf.Tensor[] {
  const losses = lossPerSample(
    loss,
    logits,
    distributions as tf.Tensor2D,
    scales as tf.Tensor1D,
    labels as tf.Tensor1D,
  );
  return [
    tf.sum(losses),
    tf.argMax(logits, 1),
    tf.max(tf.softmax(logits), 1),
    ...metrics.map(({ values }) => values(logits, labels as tf.Tensor1D)),
  ];
}

/** Reads what {@linkcode score} gave, and disposes of it. */
export function readScores(
  [lossSum, predictions, confidences, ...metrics]: tf.Tensor[],
  weight: number,
): Scores {
  const scores = {
    lossSum: lossSum.dataSync()[0],
    weight,
    predictions: predictions.dataSync() as Int32Array,
    confidences: confidences.dataSync() as Float32Array,
    ...(metrics.length > 0 ? { metrics: metrics.map(partOf) } : {}),
  };
  tf.dispose([lossSum, predictions, confidences, ...metrics]);
  return scores;
}

/** Values [n], or sum and count [1, 2]. */
function partOf(tensor: tf.Tensor): MetricPart {
  const values = Array.from(tensor.dataSync());
  if (tensor.rank === 1) return { values, sum: 0, count: 0 };
  const [sum, count] = values;
  return { values: [], sum, count };
}

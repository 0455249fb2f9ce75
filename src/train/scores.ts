/**
 * Scores of images by a model in eval mode.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";
import { applyModel, classesOf } from "../models/heads.ts";
import { findNonFiniteLayer } from "../models/non_finite_layer.ts";
import type { MetricPart } from "../metrics/metric_parts.ts";
import type { Metric } from "../metrics/user_metrics.ts";
import { type LossFunction, lossPerSample } from "../optim/loss.ts";
import type { LossName } from "../optim/loss_config.ts";
import { floatTensor } from "./image_stage.ts";
import type { LabelledImages } from "./labelled_images.ts";
import { TargetForm, type TargetTensors } from "./target_form.ts";

/** Classes per image that are put in order, where there are so many. */
const MAX_RANKED = 5;

/** The first classes of some images. */
export interface Ranking {
  /** Classes per image. */
  readonly width: number;
  /** [n, width], the class with the highest logit first; -1 in all places of a row whose logits are not finite. */
  readonly ranked: Int32Array;
  /** [n, width], the probabilities that the model gives them. */
  readonly probabilities: Float32Array;
}

/** Scores of some images by a model in eval mode. */
export interface Scores extends Ranking {
  /** [n], each image's loss times its weight. */
  readonly losses: Float32Array;
  /** Sum of the images' weights. */
  readonly weight: number;
  /** Metrics of the user's own, in their order. */
  readonly metrics?: readonly MetricPart[];
}

/** Returns the number of classes that {@linkcode score} ranks for each image. */
export function rankedOf(classes: number): number {
  return Math.min(MAX_RANKED, classes);
}

/**
 * Scores images with a model as it is, op by op: for one or two calls, where tracing wouldn't pay.
 *
 * @returns As the replica's `evaluate`, with plain cross-entropy, which for a head that ends in LogSoftmax is
 * the negative log-likelihood
 */
export function scoreOnce(model: tf.LayersModel, batch: LabelledImages): Scores {
  const form = new TargetForm({ numClasses: classesOf(model), labelSmoothing: 0 });
  const inputs = [floatTensor(batch), ...form.inputs(batch)];
  const scored = tf.tidy(() => {
    const [images, ...targets] = inputs;
    const logits = applyModel(model, images, false)[0];
    return score(logits, "crossEntropy", form.read(targets, batch.labels.length));
  });
  tf.dispose(inputs);
  return readScores(scored, form.weightOf(batch));
}

/**
 * Name of the first layer that gives NaN or infinity for some images, in eval mode.
 *
 * @returns Nothing where all layers give finite values
 * @throws {RangeError} when a row holds no image
 */
export function nonFiniteLayerOf(
  model: tf.LayersModel,
  batch: LabelledImages,
): string | undefined {
  const images = floatTensor(batch);
  const layer = findNonFiniteLayer(model, images);
  images.dispose();
  return layer;
}

/** Each image's loss, and its first classes with their probabilities; then the values of the user's own metrics. */
export function score(
  logits: tf.Tensor2D,
  loss: LossName | LossFunction,
  { labels, distributions, scales }: TargetTensors,
  metrics: readonly Metric[] = [],
): tf.Tensor[] {
  const losses = lossPerSample(loss, logits, distributions, scales, labels);
  return [
    losses,
    ...rank(logits, rankedOf(logits.shape[1])),
    ...metrics.map(({ values }) => values(logits, labels)),
  ];
}

/**
 * The first classes of each row, by their logits (of equal ones the first), and their probabilities. A row with a
 * logit that is NaN or infinite belongs to no class: its classes are all -1.
 *
 * @param logits float32 [n, classes], or log-probabilities
 * @returns int32 [n, width] and float32 [n, width]
 */
export function rank(logits: tf.Tensor2D, width: number): [tf.Tensor2D, tf.Tensor2D] {
  // float32: sums and products of int32 are the host's on a GPU.
  const finite = tf.cast(tf.all(tf.isFinite(logits), 1, true), "float32");
  // Comparisons with NaN lead a sort astray.
  const numbers = tf.where(tf.isNaN(logits), tf.fill(logits.shape, -Infinity), logits);
  const { indices, values } = tf.topk(numbers as tf.Tensor2D, width);
  // Not the first of the softmax: where it comes to 0, the order is lost.
  const shares = tf.exp(tf.sub(values, tf.logSumExp(logits, 1, true)));
  const classes = tf.sub(tf.mul(tf.add(tf.cast(indices, "float32"), 1), finite), 1);
  return [tf.cast(classes, "int32") as tf.Tensor2D, tf.minimum(shares, 1) as tf.Tensor2D];
}

/** The first row whose logits are not all finite; -1 when there is none. */
export function firstNonFinite({ ranked, width }: Ranking): number {
  const at = ranked.indexOf(-1);
  return at < 0 ? -1 : Math.floor(at / width);
}

/** Reads the result of {@linkcode score}, and disposes of it. */
export function readScores(
  [losses, ranked, probabilities, ...metrics]: tf.Tensor[],
  weight: number,
): Scores {
  const scores = {
    losses: losses.dataSync() as Float32Array,
    weight,
    ...readRanking([ranked, probabilities]),
    ...(metrics.length > 0 ? { metrics: metrics.map(partOf) } : {}),
  };
  tf.dispose([losses, ...metrics]);
  return scores;
}

/** Reads the result of {@linkcode rank}, and disposes of it. */
export function readRanking([ranked, probabilities]: tf.Tensor[]): Ranking {
  const ranking = {
    width: ranked.shape[1]!,
    ranked: ranked.dataSync() as Int32Array,
    probabilities: probabilities.dataSync() as Float32Array,
  };
  tf.dispose([ranked, probabilities]);
  return ranking;
}

/** Values [n], or sum and count [1, 2]. */
function partOf(tensor: tf.Tensor): MetricPart {
  const values = Array.from(tensor.dataSync());
  if (tensor.rank === 1) return { values, sum: 0, count: 0 };
  const [sum, count] = values;
  return { values: [], sum, count };
}

/**
 * The losses that training minimizes, with PyTorch's semantics.
 *
 * Every loss here is `scale · Σ −target · log p` per sample, with a target distribution that adds up to 1: labels,
 * label smoothing, class weights and mixed images all become targets and scales.
 *
 * @module
 */
import { softmaxCrossEntropy } from "../engine/native_ops.ts";
import { tf } from "../engine/tf.ts";
import type { ClassWeights, LossName } from "./loss_config.ts";

/**
 * A loss of the user's own.
 *
 * @returns float32 [n]
 */
export type LossFunction = (
  logits: tf.Tensor2D,
  labels: tf.Tensor1D,
  distributions: tf.Tensor2D,
) => tf.Tensor1D;

/** A class weight above which a loss that isn't finite may be caused by the weights. */
const LARGE_CLASS_WEIGHT = 1000;

/**
 * Returns the cure for a loss or gradients that are not finite, as the end of a sentence.
 *
 * @param other Another possible cause to look at, such as `the data`
 */
export function lossCure(
  { lr, classWeights = {} }: { lr: number; classWeights?: ClassWeights },
  other?: string,
): string {
  const weights = classWeights === "balanced" ? [] : Object.values(classWeights);
  const largest = Math.max(...weights, 0);
  const smaller = largest > LARGE_CLASS_WEIGHT
    ? `, give smaller train.classWeights (the largest is ${largest})`
    : "";
  return `lower train.lr (${lr})${smaller}${other === undefined ? "" : ` or look at ${other}`}`;
}

/** Settings of the targets. */
export interface TargetOptions {
  readonly numClasses: number;
  readonly labelSmoothing: number;
  /** Weight of each class; 1 unless given. */
  readonly classWeights?: readonly number[] | undefined;
}

/** The targets with which the loss compares a batch's outputs. */
export interface Targets {
  /** [n, classes], each row adds up to 1. */
  readonly distributions: Float32Array;
  /** [n]: the factor of each sample's cross-entropy. */
  readonly scales: Float32Array;
  /** [n]: the class with the largest share, for accuracies. */
  readonly labels: Int32Array;
  /** The divisor of the sum of the losses for PyTorch's mean; 0 where all samples' classes have weight 0. */
  readonly weight: number;
}

/** Images that were mixed of two. */
export interface MixedLabels {
  /** [n]: the other image's class. */
  readonly partnerLabels: Int32Array;
  /** Share of the own class. */
  readonly share: number;
}

/**
 * The values that a target distribution has before class weights, as float32: of a class that isn't the sample's, of
 * the own class, of the partner's, and of a class that is both.
 *
 * @param share Share of the own class
 */
export function targetValues(
  { numClasses, labelSmoothing }: Pick<TargetOptions, "numClasses" | "labelSmoothing">,
  share = 1,
): readonly [rest: number, own: number, partner: number, both: number] {
  const rest = Math.fround(labelSmoothing / numClasses);
  const ownShare = (1 - labelSmoothing) * share;
  const partnerShare = 1 - labelSmoothing - ownShare;
  const own = Math.fround(rest + ownShare);
  return [rest, own, Math.fround(rest + partnerShare), Math.fround(own + partnerShare)];
}

/** The divisor of the sum of a batch's losses; 0 where all samples' classes have weight 0. */
export function targetWeight(
  labels: Int32Array,
  classWeights: TargetOptions["classWeights"],
  mix?: MixedLabels,
): number {
  return classWeights && !mix
    ? labels.reduce((sum, label) => sum + classWeights[label], 0)
    : labels.length;
}

/**
 * The targets of a batch: `(1 − ε) · y + ε / classes`, times the weight of each class.
 *
 * As in `torch.nn.CrossEntropyLoss`, the mean divides by the sum of the labels' weights, and for mixed labels by
 * the number of samples.
 *
 * @param labels [n]
 */
export function makeTargets(
  labels: Int32Array,
  options: TargetOptions,
  mix?: MixedLabels,
): Targets {
  const { numClasses, classWeights } = options;
  const count = labels.length;
  const [rest, own, partner, both] = targetValues(options, mix?.share);
  const distributions = new Float32Array(count * numClasses).fill(rest);
  const scales = new Float32Array(count).fill(1);
  for (let row = 0; row < count; row++) {
    const at = row * numClasses;
    distributions[at + labels[row]] = own;
    if (mix) {
      const other = mix.partnerLabels[row];
      distributions[at + other] = other === labels[row] ? both : partner;
    }
    if (classWeights) {
      scales[row] = weigh(distributions.subarray(at, at + numClasses), classWeights);
    }
  }
  const countsOwn = !mix || mix.share >= 0.5;
  return {
    distributions,
    scales,
    labels: countsOwn ? labels : mix.partnerLabels,
    weight: targetWeight(labels, classWeights, mix),
  };
}

/** Multiplies a distribution by the weights and divides by the sum, which it returns; as it is where that is 0. */
function weigh(distribution: Float32Array, weights: readonly number[]): number {
  const sum = distribution.reduce((all, value, index) => all + value * weights[index], 0);
  if (sum === 0) return 0;
  distribution.forEach((value, index) => distribution[index] = value * weights[index]);
  distribution.forEach((value, index) => distribution[index] = value / sum);
  return sum;
}

/** Classes' weights that make each class count alike: `samples / (classes · samples of the class)`. */
export function balancedWeights(counts: readonly number[]): number[] {
  const samples = counts.reduce((sum, count) => sum + count, 0);
  return counts.map((count) => samples / (counts.length * count));
}

/**
 * The loss of each sample.
 *
 * @param outputs float32 [n, classes]: logits, or log-probabilities for `nll`
 * @param distributions float32 [n, classes]
 * @param scales float32 [n]
 * @param labels int32 [n]: needed by a loss of the user's own
 * @returns float32 [n]
 */
export function lossPerSample(
  loss: LossName | LossFunction,
  outputs: tf.Tensor2D,
  distributions: tf.Tensor2D,
  scales: tf.Tensor1D,
  labels?: tf.Tensor1D,
): tf.Tensor1D {
  if (typeof loss === "function") return tf.mul(loss(outputs, labels!, distributions), scales);
  const crossEntropy = loss === "nll"
    ? tf.neg(tf.sum(tf.mul(outputs, distributions), 1)) as tf.Tensor1D
    : softmaxCrossEntropy(outputs, distributions);
  return tf.mul(crossEntropy, scales);
}

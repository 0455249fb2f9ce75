/**
 * The loss of a training pass, from where it starts: images or features.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";
import { lossPerSample } from "../optim/loss.ts";
import type { ModelScorer } from "./model_scorer.ts";

/** Weight of an auxiliary classifier's loss (Szegedy et al. 2015, arXiv:1512.00567; torchvision's references). */
const AUXILIARY_WEIGHT = 0.4;

/** The values of a training pass before its gradients. All float32. */
export interface TrainingLoss {
  /** Sum of the samples' losses, each times its weight; that of an auxiliary classifier is a part of it. */
  readonly loss: tf.Tensor;
  /** The losses of the samples [n], of each classifier. */
  readonly losses: readonly tf.Tensor1D[];
  /** [n, classes], of the classifier itself. */
  readonly logits: tf.Tensor2D;
  /** int32 [n]. */
  readonly labels: tf.Tensor;
}

/**
 * Runs the model in training mode.
 *
 * @param inputs As of `ModelScorer.inputs()`, without the start; more may follow
 */
export function trainingLoss(
  scorer: Pick<ModelScorer, "loss" | "outputs" | "targetsFrom">,
  start: tf.Tensor,
  inputs: readonly tf.Tensor[],
): TrainingLoss {
  const { labels, distributions, scales } = scorer.targetsFrom(start, inputs);
  const [logits, auxiliary] = scorer.outputs(start, true);
  const lossesOf = (outputs: tf.Tensor2D) =>
    lossPerSample(scorer.loss.loss, outputs, distributions, scales, labels);
  const own = lossesOf(logits);
  if (!auxiliary) return { loss: tf.sum(own), losses: [own], logits, labels };
  const aside = lossesOf(auxiliary);
  const loss = tf.add(tf.sum(own), tf.mul(tf.sum(aside), AUXILIARY_WEIGHT));
  return { loss, losses: [own, aside], logits, labels };
}

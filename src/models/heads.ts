/**
 * The last layers of a network.
 *
 * @module
 */
import type { tf } from "../engine/tf.ts";

/** Tells whether a layer or parameter is one of the named layers or lies in one. */
export function isPartOf(name: string, layers: readonly string[]): boolean {
  return layers.some((layer) => name === layer || name.startsWith(`${layer}.`));
}

/** The number of classes that a model distinguishes. */
export function classesOf(model: tf.LayersModel): number {
  return (model.outputs[0].shape as number[]).at(-1)!;
}

/**
 * Runs a model on images [n, h, w, 3].
 *
 * @returns Logits [n, classes] of the main head, then, in training mode only, those of the auxiliary one if the
 * network has one
 */
export function applyModel(
  model: tf.LayersModel,
  images: tf.Tensor,
  training: boolean,
): tf.Tensor2D[] {
  if (!training && model.outputs.length > 1) {
    // Leaves the auxiliary head out, which needs larger images than the network itself.
    return [model.execute(images, [model.outputs[0].name]) as unknown as tf.Tensor2D].flat();
  }
  return [model.apply(images, { training }) as tf.Tensor2D | tf.Tensor2D[]].flat();
}

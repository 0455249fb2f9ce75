/**
 * Finds where batch normalization would see one value per channel: a batch of one image, and a map of one place.
 *
 * @module
 */
import { setStepSeed } from "../engine/random_state.ts";
import { tf } from "../engine/tf.ts";
import { applyModel } from "./heads.ts";
import { trainedBatchNorms } from "./trained_batch_norms.ts";

type Inputs = tf.Tensor | tf.Tensor[];

/**
 * The first BatchNorm layer that has one value per channel when the model is trained on one image. With two images or
 * more no layer has.
 *
 * A dry run finds the maps' sizes: BatchNorm returns its input, so that no state changes.
 *
 * @param size Height and width of the images
 * @returns The layer's name; nothing where no layer has, frozen ones aside
 */
export function findSingleValue(
  model: tf.LayersModel,
  [height, width]: readonly [number, number],
): string | undefined {
  const training = trainedBatchNorms(model);
  if (training.length === 0) return undefined;
  let found: string | undefined;
  const calls = training.map(({ name, layer }) => {
    const { call } = layer;
    const isOwn = Object.hasOwn(layer, "call");
    const { axis } = layer.getConfig() as { axis: number };
    layer.call = (inputs: Inputs) => {
      const [x] = [inputs].flat();
      if (x.size === x.shape.at(axis)) found ??= name;
      return tf.clone(x);
    };
    return { layer, call, isOwn };
  });
  try {
    setStepSeed([1, 2], 1, 0);
    tf.tidy(() => void applyModel(model, tf.zeros([1, height, width, 3]), true));
    return found;
  } finally {
    for (const { layer, call, isOwn } of calls) {
      if (isOwn) layer.call = call;
      else Reflect.deleteProperty(layer, "call");
    }
  }
}

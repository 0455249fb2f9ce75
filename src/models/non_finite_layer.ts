/**
 * Finds where in a network values cease to be finite.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";
import { applyModel } from "./heads.ts";
import { watchingLayers } from "./watched_layers.ts";

/**
 * Runs a model in eval mode, op by op, and checks the output of each layer.
 *
 * @param inputs float32 [n, h, w, 3], or what `apply` takes
 * @param apply Runs the model, or its last part; its outputs are disposed of
 * @returns Name of the first layer whose output has NaN or infinity
 */
export function findNonFiniteLayer(
  model: tf.LayersModel,
  inputs: tf.Tensor,
  apply: (inputs: tf.Tensor) => tf.Tensor | tf.Tensor[] = (images) =>
    applyModel(model, images, false),
): string | undefined {
  let found: string | undefined;
  const check = (layer: string, output: tf.Tensor) => {
    if (found === undefined && !isFinite(output)) found = layer;
    return output;
  };
  watchingLayers(model, check, () => tf.dispose(apply(inputs)));
  return found;
}

function isFinite(values: tf.Tensor): boolean {
  if (values.dtype !== "float32") return true;
  return tf.tidy(() => tf.all(tf.isFinite(values)).dataSync()[0] !== 0);
}

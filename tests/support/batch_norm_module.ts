/**
 * A small network of a user's own with stock BatchNorm: on maps, and on features, of which an image has one each.
 *
 * @module
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const MODEL = `
export function createModel({ inputShape, numClasses }, tf) {
  return tf.sequential({ layers: [
    tf.layers.conv2d({ inputShape, filters: 4, kernelSize: 3, strides: 2, name: "conv" }),
    tf.layers.batchNormalization({ name: "bn1" }),
    tf.layers.reLU({ name: "relu" }),
    tf.layers.globalAveragePooling2d({ name: "pool", dataFormat: "channelsLast" }),
    tf.layers.batchNormalization({ name: "bn2" }),
    tf.layers.dense({ name: "head", units: numClasses }),
  ] });
}
`;

/** Writes the module into a folder; gives what a config has as `model`. */
export async function batchNormModel(folder: string) {
  const path = join(folder, "batch_norm_model.js");
  await Deno.writeTextFile(path, MODEL);
  return { module: pathToFileURL(path).href };
}

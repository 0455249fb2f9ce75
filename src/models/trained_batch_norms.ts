/**
 * The BatchNorm layers of a model that are trained.
 *
 * @module
 */
import type { tf } from "../engine/tf.ts";
import { isBatchNorm, isFrozenLayer } from "./layers.ts";
import { type NamedLayer, namedLayers } from "./named_layers.ts";

/** Returns the BatchNorm layers that normalize by the batch while training: those that are not frozen. */
export function trainedBatchNorms(model: tf.LayersModel): NamedLayer[] {
  return namedLayers(model).filter(({ layer }) => isBatchNorm(layer) && !isFrozenLayer(layer));
}

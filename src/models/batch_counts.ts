/**
 * The number of batches on which each BatchNorm layer was trained: PyTorch's `num_batches_tracked`. Nothing
 * in training reads it.
 *
 * @module
 */
import type { tf } from "../engine/tf.ts";
import { isBatchNorm } from "./layers.ts";
import { namedLayers } from "./named_layers.ts";
import { trainedBatchNorms } from "./trained_batch_norms.ts";

/** Counts of the models that were loaded or trained in this process, by layer. */
const known = new WeakMap<tf.LayersModel, ReadonlyMap<string, number>>();

/** Forward passes in training mode by BatchNorm layer; 0 for those of a new model. */
export function batchCountsOf(model: tf.LayersModel): Map<string, number> {
  const counts = known.get(model);
  return new Map(
    namedLayers(model).filter(({ layer }) => isBatchNorm(layer))
      .map(({ name }) => [name, counts?.get(name) ?? 0]),
  );
}

/** Sets a model's counts, as its weights' file gives them. */
export function setBatchCounts(model: tf.LayersModel, counts: ReadonlyMap<string, number>): void {
  known.set(model, new Map(counts));
}

/** Counts forward passes in training mode; frozen layers run in eval mode, which doesn't count. */
export function countBatches(model: tf.LayersModel, batches: number): void {
  const counts = batchCountsOf(model);
  for (const { name } of trainedBatchNorms(model)) {
    counts.set(name, counts.get(name)! + batches);
  }
  known.set(model, counts);
}

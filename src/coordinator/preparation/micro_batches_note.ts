/**
 * The line about micro-batches among the first lines of a run.
 *
 * @module
 */
import { counted } from "../../base/format.ts";
import type { Config } from "../../config/schema.ts";
import { shareOf } from "../../data/loading/sampler.ts";
import type { tf } from "../../engine/tf.ts";
import { trainedBatchNorms } from "../../models/trained_batch_norms.ts";
import { microBatchSizes } from "../../train/micro_batches.ts";

/**
 * Describes the division of a worker's share of a batch, and that BatchNorm sees each part by itself.
 *
 * @param globalBatch Samples of a step over all workers
 * @returns Nothing where a share is computed as a whole
 */
export function describeMicroBatches(
  config: Pick<Config, "workers" | "train">,
  globalBatch: number,
  model: tf.LayersModel,
): string | undefined {
  const { rows } = shareOf(globalBatch, 0, config.workers);
  const sizes = microBatchSizes(rows, config.train);
  if (sizes.length <= 1) return undefined;
  const text = `A worker computes the ${
    counted(rows, "image")
  } of its share of a step in ${sizes.length} micro-batches of at most ${sizes[0]}`;
  return trainedBatchNorms(model).length > 0
    ? `${text}. BatchNorm normalizes each micro-batch by itself, so the result isn't that of the whole batch: ` +
      "model.freezeBatchNorm true keeps it from doing so"
    : `${text}, with the result of the whole batch`;
}

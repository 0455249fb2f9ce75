/**
 * Micro-batches: the parts of a rank's rows that each go through the network in one pass, one after the other. Their
 * gradients are added up, and the ranks exchange and update once per step.
 *
 * @module
 */
import { shareOf } from "../data/loading/sampler.ts";
import { type LabelledImages, rowsBetween } from "./labelled_images.ts";
import { VALIDATION_FACTOR } from "./run_plan.ts";

/** The keys of `train` that divide a rank's rows; without either, they are one micro-batch. */
export interface MicroBatching {
  /** Number of micro-batches (default 1). */
  readonly accumulationSteps?: number | undefined;
  /** The most rows of a micro-batch; decides their number in the place of `accumulationSteps`. */
  readonly microBatchSize?: number | undefined;
}

/**
 * Returns the rows of each micro-batch, the largest first, of two sizes at most: a function is traced for each size.
 * Fewer rows have fewer micro-batches, and none has none. Of a `microBatchSize` the sizes differ by one row at most,
 * since a small last one would be the first to leave BatchNorm a single value.
 */
export function microBatchSizes(
  rows: number,
  { accumulationSteps = 1, microBatchSize }: MicroBatching,
): number[] {
  if (rows === 0) return [];
  if (microBatchSize !== undefined) {
    const count = Math.ceil(rows / microBatchSize);
    return Array.from({ length: count }, (_, index) => shareOf(rows, index, count).rows);
  }
  const size = Math.ceil(rows / accumulationSteps);
  return Array.from(
    { length: Math.ceil(rows / size) },
    (_, index) => Math.min(size, rows - index * size),
  );
}

/** Returns the rows of the largest micro-batch; 0 without rows. */
export function largestMicroBatch(rows: number, batching: MicroBatching): number {
  return Math.max(0, ...microBatchSizes(rows, batching));
}

/** Divides a batch into micro-batches of {@linkcode microBatchSizes}. */
export function microBatchesOf(
  batch: LabelledImages,
  batching: MicroBatching,
): { part: LabelledImages; firstRow: number }[] {
  let next = 0;
  return microBatchSizes(batch.labels.length, batching).map((rows) => {
    const firstRow = next;
    return { firstRow, part: rowsBetween(batch, firstRow, next += rows) };
  });
}

/**
 * Returns the division of a rank's rows of a validation step. The step is {@linkcode VALIDATION_FACTOR} times as large
 * as one of training, and so is each of its passes, since they keep no activations.
 */
export function validationBatching(
  { accumulationSteps, microBatchSize }: MicroBatching,
): MicroBatching {
  return microBatchSize === undefined
    ? { accumulationSteps }
    : { microBatchSize: VALIDATION_FACTOR * microBatchSize };
}

/**
 * Refuses a run with steps that leave BatchNorm a single value per channel, which has no variance.
 *
 * @module
 */
import { counted } from "../../base/format.ts";
import { UsageError } from "../../base/errors.ts";
import { naming } from "../../base/invocation.ts";
import type { Config } from "../../config/schema.ts";
import { shareOf, stepsPerEpoch } from "../../data/loading/sampler.ts";
import { outputSize } from "../../data/transforms/transform_specs.ts";
import type { tf } from "../../engine/tf.ts";
import { findSingleValue } from "../../models/single_value.ts";
import { type MicroBatching, microBatchSizes } from "../../train/micro_batches.ts";
import { addedParts } from "../../train/moment_exchange.ts";
import type { RunPlan } from "../../train/run_plan.ts";

/** The division of an epoch's samples into batches, shares and parts. */
interface Division {
  readonly length: number;
  readonly globalBatch: number;
  readonly workers: number;
  /** The division of a worker's share. */
  readonly batching: MicroBatching;
  readonly dropLast: boolean;
  /** BatchNorm sees the rows of all workers' parts of the same number. */
  readonly isSynchronized: boolean;
}

/** Batch sizes that are tried as a cure, above and below the configured one. */
const MAX_TRIED = 64;

/**
 * Refuses a division of the samples that gives a worker a part of one image, if a trainable BatchNorm layer has a
 * 1 × 1 feature map.
 *
 * @throws {UsageError} naming the layer, the numbers and the cure
 */
export function checkSingleValues(
  config: Config,
  model: tf.LayersModel,
  { training }: Pick<RunPlan, "training">,
): void {
  const { train: { accumulationSteps, microBatchSize, dropLast, syncBatchNorm }, workers } = config;
  const division: Division = {
    length: training.length,
    globalBatch: training.globalBatch,
    workers,
    batching: { accumulationSteps, microBatchSize },
    dropLast,
    isSynchronized: syncBatchNorm,
  };
  const single = findSingle(division);
  if (!single) return;
  const layer = findSingleValue(model, outputSize(config.data.train)!);
  if (layer === undefined) return;
  const { globalBatch, length } = division;
  const { rows, share } = single;
  const step = rows < globalBatch
    ? `the last step of an epoch has ${
      counted(rows, "image")
    } (${length} images, batch size ${globalBatch})`
    : `a step has ${counted(rows, "image")}`;
  const reason = microBatchSize === undefined
    ? `train.accumulationSteps is ${accumulationSteps}`
    : `train.microBatchSize is ${microBatchSize}`;
  const numbers = [
    ...(workers > 1 && !syncBatchNorm
      ? [`a share of ${counted(share, "image")} for one of ${workers} workers`]
      : []),
    ...(microBatchSizes(share, division.batching).length > 1
      ? [`computed in parts, as ${reason}`]
      : []),
  ];
  throw new UsageError(
    `BatchNorm layer ${layer} would have one value per channel, which has no variance: its map is 1 × 1 and ` +
      `${[step, ...numbers].join(", ")}, so that one image is computed by itself. Set ${
        list(curesOf(config, division))
      }`,
  );
}

/** Finds a step with a part of a single row; returns the rows of the step and of the rank's share. */
function findSingle(
  { length, globalBatch, workers, batching, dropLast, isSynchronized }: Division,
): { rows: number; share: number } | undefined {
  const steps = [globalBatch, dropLast ? 0 : length % globalBatch]
    .filter((rows) => rows > 0 && rows <= length);
  for (const rows of steps) {
    if (isSynchronized) {
      const shares = Array.from(
        { length: workers },
        (_, rank) => shareOf(rows, rank, workers).rows,
      );
      const sizes = addedParts(shares.map((share) => microBatchSizes(share, batching)));
      if (sizes.includes(1)) return { rows, share: shares[0] };
      continue;
    }
    // Shares differ by at most one row. The first rank has the largest share, the last rank the smallest.
    for (const rank of [0, workers - 1]) {
      const { rows: share } = shareOf(rows, rank, workers);
      if (microBatchSizes(share, batching).includes(1)) return { rows, share };
    }
  }
  return undefined;
}

/** Settings that leave no part with a single image, each as `key to value`. */
function curesOf(config: Config, division: Division): string[] {
  const { globalBatch, workers, length } = division;
  const works = (change: Partial<Division>) => {
    const changed = { ...division, ...change };
    return stepsPerEpoch(length, changed.globalBatch, changed.dropLast) > 0 && !findSingle(changed);
  };
  const key = config.train.batchSize === undefined ? "batchSizePerWorker" : "batchSize";
  const isGlobal = key === "batchSize";
  const unit = isGlobal ? 1 : workers;
  // Sizes that divide evenly among the workers.
  const [next, last] = [Math.floor(globalBatch / workers), Math.ceil(globalBatch / workers)];
  const sizes = (direction: 1 | -1) =>
    Array.from(
      { length: MAX_TRIED },
      (_, index) => workers * (direction < 0 ? last - 1 - index : next + 1 + index),
    ).find((size) => size > 0 && works({ globalBatch: size }));
  const batches = [sizes(-1), sizes(1)].flatMap((size) => size === undefined ? [] : size / unit);
  const batchOf = (count: number) => isGlobal ? globalBatch : globalBatch / workers * count;
  const others = Array.from({ length: workers }, (_, index) => workers - index).find((count) =>
    count < workers && batchOf(count) % count === 0 &&
    works({ workers: count, globalBatch: batchOf(count) })
  );
  const worksInParts = (batching: MicroBatching) => works({ batching });
  return [
    ...(works({ dropLast: true }) ? ["train.dropLast to true"] : []),
    ...partCures(division, worksInParts),
    ...(batches.length > 0 ? [`${naming(`train.${key}`)} to ${batches.join(" or ")}`] : []),
    ...(others === undefined ? [] : [`${naming("workers")} to ${others}`]),
    ...(workers > 1 && !division.isSynchronized && works({ isSynchronized: true })
      ? ["train.syncBatchNorm to true"]
      : []),
    "model.freezeBatchNorm to true",
  ];
}

/** Other divisions of a worker's share, each as `key to value`. */
function partCures(
  { globalBatch, workers, batching: { accumulationSteps = 1, microBatchSize } }: Division,
  works: (batching: MicroBatching) => boolean,
): string[] {
  const { rows: share } = shareOf(globalBatch, 0, workers);
  if (microBatchSize !== undefined) {
    const isCure = (size: number) => size > 1 && works({ microBatchSize: size });
    const least = Math.min(microBatchSize, share);
    const sizes = [-1, 1].flatMap((direction) =>
      Array.from({ length: MAX_TRIED }, (_, index) => least + direction * (index + 1))
        .find((size) => size <= share && isCure(size)) ?? []
    );
    return sizes.length === 0 ? [] : [`train.microBatchSize to ${sizes.join(" or ")}`];
  }
  const fewer = Array.from({ length: accumulationSteps - 1 }, (_, at) => accumulationSteps - 1 - at)
    .find((count) =>
      microBatchSizes(share, { accumulationSteps: count }).length === count &&
      works({ accumulationSteps: count })
    );
  return fewer === undefined ? [] : [`train.accumulationSteps to ${fewer}`];
}

function list(items: readonly string[]): string {
  return items.length === 1 ? items[0] : `${items.slice(0, -1).join(", ")}, or ${items.at(-1)}`;
}

/**
 * Checks that need more than one key: made before anything starts, each naming the cure.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import type { Config } from "./schema.ts";

/**
 * The samples of one step over all workers.
 *
 * @throws {UsageError} when neither or both batch keys are set, or the workers can't share the batch
 */
export function globalBatchSize(config: Config): number {
  const { batchSize, batchSizePerWorker } = config.train;
  if (batchSize !== undefined && batchSizePerWorker !== undefined) {
    throw new UsageError(
      `Both train.batchSize (${batchSize}) and train.batchSizePerWorker (${batchSizePerWorker}) are set: ` +
        "keep one of them",
    );
  }
  if (batchSizePerWorker !== undefined) return batchSizePerWorker * config.workers;
  if (batchSize === undefined) {
    throw new UsageError(
      "The batch size is missing: set train.batchSize (all workers together) or train.batchSizePerWorker",
    );
  }
  const rest = batchSize % config.workers;
  if (rest !== 0) {
    const below = batchSize - rest;
    const cures = [below, below + config.workers].filter((size) => size > 0);
    throw new UsageError(
      `Batch size ${batchSize} is not divisible by ${config.workers} workers: ` +
        `set train.batchSize to ${cures.join(" or ")}, or change the number of workers`,
    );
  }
  return batchSize;
}

/**
 * Makes all cross-field checks.
 *
 * @throws {UsageError} naming the keys, the values and the cure
 */
export function checkConfig(config: Config): void {
  globalBatchSize(config);
  const { nesterov, momentum, dampening } = config.train;
  if (nesterov && (momentum === 0 || dampening !== 0)) {
    throw new UsageError(
      `train.nesterov needs a momentum above 0 and dampening 0, but train.momentum is ${momentum} ` +
        `and train.dampening is ${dampening}`,
    );
  }
  if (config.model.featureExtract && config.model.weights === "none") {
    throw new UsageError(
      "model.featureExtract freezes the body, but model.weights is none, so the body would stay random: " +
        "set model.weights to pretrained or to a file, or model.featureExtract to false",
    );
  }
}

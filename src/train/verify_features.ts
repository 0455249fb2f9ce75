/**
 * Tries out, on the machine itself, that features which are kept are those that would be computed.
 *
 * @module
 */
import { globalBatchSize } from "../config/checks.ts";
import type { Config } from "../config/schema.ts";
import { planEpoch } from "../data/loading/sampler.ts";
import { outputSize } from "../data/transforms/transform_specs.ts";
import type { Features } from "./features.ts";
import { validationBatchSize } from "./job.ts";
import { partSizes } from "./labelled_images.ts";
import type { RankInfo } from "./rank_epoch.ts";

/**
 * Computes features of made images for all numbers of rows that a rank's steps will have, and for a few of the
 * same images apart.
 *
 * @param samples Images of the two sets
 * @throws {LockstepError} when the bits differ
 */
export async function verifyFeatures(
  features: Features,
  config: Config,
  place: RankInfo,
  samples: { readonly train: number; readonly val: number },
): Promise<void> {
  const { data, train: { accumulationSteps, dropLast } } = config;
  const rowsOf = (length: number, globalBatch: number, parts: number, dropLast = false) => {
    const order = { seed: 0, epoch: 0, shuffle: false };
    const plan = planEpoch({ length, globalBatch, ...place, ...order, dropLast });
    return [...new Set(plan.flatMap(({ indices }) => partSizes(indices.length, parts)))];
  };
  const train = rowsOf(samples.train, globalBatchSize(config), accumulationSteps, dropLast);
  await features.verify(train, outputSize(data.train)!);
  await features.verify(rowsOf(samples.val, validationBatchSize(config), 1), outputSize(data.val)!);
}

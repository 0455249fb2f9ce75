/**
 * Tries out, on the machine itself, that features which are kept are those that would be computed.
 *
 * @module
 */
import type { RankInfo } from "../base/rank_info.ts";
import type { Config } from "../config/schema.ts";
import type { EpochPlanner } from "../data/loading/epoch_planner.ts";
import { outputSize } from "../data/transforms/transform_specs.ts";
import type { Features } from "./features.ts";
import { type MicroBatching, microBatchSizes, validationBatching } from "./micro_batches.ts";
import type { RunPlan } from "./run_plan.ts";

/**
 * Computes features of made images for all numbers of rows that a rank's steps will have, and for a few of the
 * same images apart.
 *
 * @throws {LockstepError} when the bits differ
 */
export async function verifyFeatures(
  features: Features,
  config: Config,
  plan: RunPlan,
  place: RankInfo,
): Promise<void> {
  const { data, train } = config;
  const rowsOf = (planner: EpochPlanner, batching: MicroBatching) => [
    ...new Set(
      planner.steps(0, place).flatMap(({ indices }) => microBatchSizes(indices.length, batching)),
    ),
  ];
  await features.verify(rowsOf(plan.training, train), outputSize(data.train)!);
  await features.verify(rowsOf(plan.validation, validationBatching(train)), outputSize(data.val)!);
}

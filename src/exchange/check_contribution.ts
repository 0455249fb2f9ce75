/**
 * The check of a rank's totals before they leave it.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import type { StepContribution } from "./gradient_exchange.ts";

/**
 * Refuses totals that no computation gives: over NATS the coordinator would refuse their message, and the rank wait for
 * its answer in vain; in shared memory they would be added up.
 *
 * @throws {LockstepError} naming the total
 */
export function checkContribution(rank: number, contribution: StepContribution): void {
  const { epoch, step, samples, correct, weight, statisticsRows = 0, trackedBatches = 0 } =
    contribution;
  const counts = { samples, correct, statisticsRows, trackedBatches };
  const wrong =
    Object.entries(counts).find(([, count]) => !Number.isSafeInteger(count) || count < 0) ??
      (Number.isFinite(weight) && weight >= 0 ? undefined : ["weight", weight]);
  if (!wrong) return;
  throw new LockstepError(
    `Rank ${rank}'s totals of step ${step} in epoch ${epoch} can't be right (${
      wrong.join(": ")
    }): what this worker's ` +
      "device computed is not to be trusted; check the device, or compute on another one (device cpu)",
  );
}

/**
 * The training loop as `bench scaling` measures it: real training, with an eye on the clock of each step.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import type { StepTimes } from "../base/step_times.ts";
import { type EpochParts, type EpochSpan, runEpoch } from "../train/rank_epoch.ts";

/** The times of an epoch. */
export interface TimedEpoch {
  /** All steps, the first ones included. */
  readonly steps: StepTimes[];
  /** Mean loss of the last step over all ranks. */
  readonly loss: number;
  /** The time when the first step was done: milliseconds since 1970. */
  readonly firstStepAt: number;
}

/**
 * Trains an epoch and keeps the times of each step.
 *
 * @param onStep Called when a step begins, with its number
 * @throws {LockstepError} when loss or gradients are not finite
 */
export async function timeEpoch(
  parts: EpochParts,
  span: EpochSpan,
  onStep: (step: number) => void,
  signal?: AbortSignal,
): Promise<TimedEpoch> {
  const steps: StepTimes[] = [];
  let loss = NaN;
  let firstStepAt = 0;
  const { notFinite } = await runEpoch(parts, span, {
    onBegin: onStep,
    onEnd: (_step, times, { lossSum, weight }) => {
      firstStepAt ||= Date.now();
      steps.push(times);
      loss = lossSum / weight;
    },
  }, signal);
  if (notFinite !== undefined) {
    throw new LockstepError(`Loss or gradients are not finite in step ${notFinite}`);
  }
  return { steps, loss, firstStepAt };
}

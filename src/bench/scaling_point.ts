/**
 * From the times of all ranks to one line of `bench scaling`.
 *
 * @module
 */
import {
  perBreakdownPart,
  perStepPart,
  type StepBreakdown,
  type StepTimes,
} from "../base/step_times.ts";
import { boundMilliseconds } from "./cost_bound.ts";
import type { TrainTimes } from "./benchmark.ts";
import { mean, middleHalf } from "../base/statistics.ts";

/** The measurement at a number of workers and a batch. */
export interface ScalingPoint {
  readonly workers: number;
  /** Images per step over all workers. */
  readonly globalBatch: number;
  /** All workers together. */
  readonly imagesPerSecond: number;
  /** Mean of the middle half of the steps. */
  readonly stepMilliseconds: number;
  readonly minMilliseconds: number;
  readonly maxMilliseconds: number;
  /** Of the same steps. */
  readonly breakdown: StepBreakdown;
  /** Mean loss of the last step; `null` when it is not finite. */
  readonly loss: number | null;
  /** Resident memory of a worker, mean over the ranks. */
  readonly residentBytes: number;
  /** The time when the first step of the cluster was done on all ranks: milliseconds since 1970. */
  readonly firstStepAt: number;
  /**
   * Milliseconds that the memory's traffic of an all-reduce takes at least, where the exchange is measured without
   * computing: see {@linkcode boundMilliseconds}.
   */
  readonly boundMilliseconds?: number;
}

/**
 * Puts the ranks' times together: the mean of the steps without the fastest and the slowest quarter, which
 * neighbours on a shared machine disturb.
 *
 * @param ranks Times of as many steps from each rank
 */
export function summarize(ranks: readonly TrainTimes[], globalBatch: number): ScalingPoint {
  const steps = ranks[0].steps.map((_, step) => breakdownOf(ranks.map((rank) => rank.steps[step])));
  const middle = middleHalf(steps, ({ total }) => total);
  const meanOf = (part: keyof (StepBreakdown & { total: number })) =>
    mean(middle.map((step) => step[part]));
  const stepMilliseconds = meanOf("total");
  const totals = steps.map(({ total }) => total);
  return {
    workers: ranks.length,
    globalBatch,
    imagesPerSecond: 1000 * globalBatch / stepMilliseconds,
    stepMilliseconds,
    minMilliseconds: Math.min(...totals),
    maxMilliseconds: Math.max(...totals),
    breakdown: perBreakdownPart(meanOf),
    loss: ranks[0].loss,
    residentBytes: mean(ranks.map(({ residentBytes }) => residentBytes)),
    firstStepAt: Math.max(...ranks.map(({ firstStepAt }) => firstStepAt)),
    ...boundOf(ranks),
  };
}

function boundOf(ranks: readonly TrainTimes[]): Pick<ScalingPoint, "boundMilliseconds"> {
  const copies = ranks.flatMap(({ copyTogether }) => copyTogether ?? []);
  if (copies.length < ranks.length) return {};
  return { boundMilliseconds: boundMilliseconds(mean(copies), ranks.length) };
}

/** One step over all ranks. */
function breakdownOf(ranks: readonly StepTimes[]): StepBreakdown & { total: number } {
  const means = perStepPart((part) => mean(ranks.map((times) => times[part])));
  const total = means.data + means.forwardBackward + means.exchange + means.update;
  const exchange = Math.min(...ranks.map((times) => times.exchange));
  return { ...means, total, exchange, idle: means.exchange - exchange };
}

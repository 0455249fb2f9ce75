/**
 * The coordinator's side of an epoch's training: it decides on each step and adds up the ranks' contributions.
 *
 * @module
 */
import type { LockstepError } from "../../base/errors.ts";
import type { StepKey } from "../../base/step_key.ts";
import { driveSteps, type SteppingCluster } from "../../cluster/drive_steps.ts";
import type { Reporter } from "../../events/reporter.ts";
import type { RankReport, Reducer, StepTotals } from "../../exchange/gradient_exchange.ts";
import type { LeftOut } from "../../metrics/check_scores.ts";
import { WORKER_COMMANDS } from "../../protocol/worker_commands.ts";
import { epochOutcomeSchema } from "../../train/command_schemas.ts";
import type { EpochSpan } from "../../train/rank_epoch.ts";
import type { RunPlan } from "../../train/run_plan.ts";
import { type EpochLossScale, StepJudge } from "../../train/step_judge.ts";

/** Sums over the samples of an epoch so far. */
export interface EpochTotals {
  /** Each sample's loss times its weight. */
  lossSum: number;
  /** Divisor of the sum for the mean loss. */
  weight: number;
  correct: number;
  count: number;
}

/** Result of the training part of an epoch. */
export interface TrainedEpoch {
  /** Completed steps of the epoch, including those before a resume. */
  readonly stepsDone: number;
  /** Optimizer steps of this part of the epoch. */
  readonly optimizerSteps: number;
  readonly totals: EpochTotals;
  /** Samples trained in this part of the epoch, without those before a resume. */
  readonly samples: number;
  readonly skipped: readonly LeftOut[];
  /** Forward passes of a rank whose statistics enter BatchNorm's running ones. */
  readonly trackedBatches: number;
  /** Steps and samples that were left out of the running statistics: see `Replica.forwardBackward`. */
  readonly leftOut: OutOfStatistics;
  /** The loss scale after the last step, where losses are scaled. */
  readonly lossScale?: EpochLossScale;
}

/** Steps and samples that were left out of the running statistics. */
export interface OutOfStatistics {
  readonly steps: number;
  readonly samples: number;
}

/** The parts of a run that its epochs need. */
export interface EpochDriver {
  readonly cluster: SteppingCluster;
  /** The coordinator's end of the exchange. */
  readonly reducer: Pick<Reducer, "reduce">;
  readonly reporter: Pick<Reporter, "phase" | "progress">;
  readonly plan: Pick<RunPlan, "epochs" | "globalBatch" | "stepsPerEpoch" | "samplesPerEpoch">;
  /** Makes the error of a step with a non-finite loss or gradient, whose loss was multiplied by `scale`. */
  readonly nonFinite: (step: StepKey, totals: StepTotals & { scale: number }) => LockstepError;
}

/** Options of a span of steps: its end and its listeners. */
export interface SpanOptions {
  /** Totals of the epoch's completed steps. */
  readonly before: EpochTotals;
  /** Number of steps of the epoch after which to stop. */
  readonly until: number;
  /** Evaluated at each step; true makes the step the last one. */
  readonly shouldStop: () => boolean;
  /** True when steps may be decided on before earlier ones were reported: see {@linkcode StepRuler}. */
  readonly mayDecideAhead?: boolean;
  /** Called after each step with the step's own sums, and each rank's report on the step. */
  readonly onStep: (
    stepsDone: number,
    sums: EpochTotals,
    ranks: readonly RankReport[],
  ) => void | Promise<void>;
}

/**
 * Trains an epoch, or a part of it.
 *
 * @param signal Ends the epoch at once
 * @throws {LockstepError} when a worker is lost, or loss or gradients are not finite
 */
export async function driveEpoch(
  { cluster, reducer, reporter, plan, nonFinite }: EpochDriver,
  span: EpochSpan,
  { before, until, shouldStop, mayDecideAhead = false, onStep }: SpanOptions,
  signal?: AbortSignal,
): Promise<TrainedEpoch> {
  const { epoch, startStep, optimizerSteps, lossScale } = span;
  const { epochs, samplesPerEpoch: total } = plan;
  const done = startStep * plan.globalBatch;
  reporter.phase({ name: "train", epoch, epochs, total, done });
  const trained = { stepsDone: startStep, samples: 0, trackedBatches: 0 };
  const totals = { ...before };
  const leftOut = { steps: 0, samples: 0 };
  const judge = new StepJudge(lossScale);
  const replies = await driveSteps(cluster, reducer, {
    command: WORKER_COMMANDS.trainEpoch,
    args: {
      epoch,
      startStep,
      optimizerSteps,
      ...(lossScale ? { lossScale: { ...lossScale } } : {}),
    },
    epoch,
    startStep,
    endStep: plan.stepsPerEpoch,
  }, {
    decide: ({ step }) => shouldStop() || step + 1 >= until ? "stop" : "continue",
    mayDecideAhead,
    onStep: async (key, reduced) => {
      const { scale } = judge;
      const verdict = judge.judge(reduced);
      if (verdict === "fail") throw nonFinite(key, { ...reduced, scale });
      const { lossSum, weight, correct, samples: count, statisticsRows } = reduced;
      const sums = { lossSum, weight, correct, count };
      addTo(totals, sums);
      trained.stepsDone++;
      trained.samples += count;
      if (verdict === "apply") {
        trained.trackedBatches += reduced.trackedBatches;
        leftOut.samples += count - statisticsRows;
        if (count > statisticsRows) leftOut.steps++;
      }
      await onStep(trained.stepsDone, sums, reduced.ranks);
      const loss = totals.weight > 0 ? { loss: totals.lossSum / totals.weight } : {};
      reporter.progress({ done: done + trained.samples, ...loss });
    },
  }, signal);
  const outcomes = replies.map(({ result }) => epochOutcomeSchema.parse(result));
  return {
    ...trained,
    totals,
    leftOut,
    ...(judge.lossScale ? { lossScale: judge.lossScale } : {}),
    optimizerSteps: outcomes[0].steps,
    skipped: outcomes.flatMap(({ skipped }) => skipped),
  };
}

function addTo(totals: EpochTotals, sums: EpochTotals): void {
  totals.lossSum += sums.lossSum;
  totals.weight += sums.weight;
  totals.correct += sums.correct;
  totals.count += sums.count;
}

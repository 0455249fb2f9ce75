/**
 * The coordinator's side of an epoch's training: it decides on each step and adds up the ranks' contributions.
 *
 * @module
 */
import type { LockstepError } from "../../base/errors.ts";
import { given } from "../../base/given.ts";
import type { StepKey } from "../../base/step_key.ts";
import { driveSteps, type SteppingCluster } from "../../cluster/drive_steps.ts";
import type { Reporter } from "../../events/reporter.ts";
import type { RankReport, StepTotals } from "../../exchange/gradient_exchange.ts";
import type { LeftOut } from "../../metrics/check_scores.ts";
import type { SkippedFacts } from "../../protocol/skipped_samples.ts";
import type { Json } from "../../protocol/large_json.ts";
import { WORKER_COMMANDS } from "../../protocol/worker_commands.ts";
import type { EpochSpan } from "../../train/rank_epoch.ts";
import type { DivergenceWatch } from "./divergence.ts";
import type { RunPlan } from "../../train/run_plan.ts";
import { type EpochLossScale, type NonFiniteCounts, StepJudge } from "../../train/step_judge.ts";

/** Sums over the samples of an epoch so far. */
export interface EpochTotals {
  /** Each sample's loss times its weight. */
  lossSum: number;
  /** Divisor of the sum for the mean loss. */
  weight: number;
  correct: number;
  count: number;
}

/** The sums of a step that was skipped: it has no part in the epoch's loss and accuracy. */
const NOTHING: EpochTotals = { lossSum: 0, weight: 0, correct: 0, count: 0 };

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
  /** The steps that were skipped, where such as are not finite may be. */
  readonly nonFinite?: NonFiniteCounts;
}

/** Steps and samples that were left out of the running statistics. */
export interface OutOfStatistics {
  readonly steps: number;
  readonly samples: number;
}

/** The parts of a run that its epochs need. */
export interface EpochDriver {
  readonly cluster: SteppingCluster;
  /** Knows the samples that the ranks left out. */
  readonly skippedImages: Pick<SkippedFacts, "take">;
  readonly reporter: Pick<Reporter, "phase" | "progress">;
  readonly plan: Pick<RunPlan, "epochs" | "globalBatch" | "stepsPerEpoch" | "samplesPerEpoch">;
  /** Makes the error of a step with a non-finite loss or gradient, whose loss was multiplied by `scale`. */
  readonly nonFinite: (
    step: StepKey,
    totals: JudgedTotals,
    signal?: AbortSignal,
  ) => Promise<LockstepError>;
  /** Compares the ranks' replicas. */
  readonly divergence?: Pick<DivergenceWatch, "check">;
  /** Hears of each step that was skipped because loss or gradients were not finite. */
  readonly onSkipped?: (
    step: StepKey,
    totals: JudgedTotals,
    signal?: AbortSignal,
  ) => Promise<void>;
}

/** The totals of a step that isn't finite, with the state of the judge. */
export interface JudgedTotals extends StepTotals {
  /** Factor of the loss. */
  readonly scale: number;
  /** The steps that were skipped so far, where such as are not finite may be. */
  readonly skipped?: NonFiniteCounts;
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
  { cluster, skippedImages, reporter, plan, nonFinite, divergence, onSkipped }: EpochDriver,
  span: EpochSpan,
  { before, until, shouldStop, mayDecideAhead = false, onStep }: SpanOptions,
  signal?: AbortSignal,
): Promise<TrainedEpoch> {
  const { epoch, startStep, optimizerSteps } = span;
  const { epochs, samplesPerEpoch: total } = plan;
  const done = startStep * plan.globalBatch;
  reporter.phase({ name: "train", epoch, epochs, total, done });
  const trained = { stepsDone: startStep, optimizerSteps: 0, samples: 0, trackedBatches: 0 };
  const totals = { ...before };
  const leftOut = { steps: 0, samples: 0 };
  const judge = new StepJudge(span);
  // The numbers with which a span begins, by its first step: of the next step, and of the one before.
  const starts = new Map<number, SpanStart>();
  const noteStart = () => {
    const { lossScale, nonFinite } = judge.state;
    starts.set(trained.stepsDone, {
      optimizerSteps: optimizerSteps + trained.optimizerSteps,
      ...(lossScale ? { lossScale: { ...lossScale } } : {}),
      ...(nonFinite ? { nonFinite: { ...nonFinite } } : {}),
    });
    starts.delete(trained.stepsDone - 2);
  };
  noteStart();
  const judgedNow = (reduced: StepTotals) => {
    const { scale, nonFinite: skipped } = judge;
    return { ...reduced, scale, ...given("skipped", skipped) };
  };
  await driveSteps(cluster, {
    command: WORKER_COMMANDS.trainEpoch,
    args: (startStep) => ({ epoch, startStep, ...starts.get(startStep)! }),
    epoch,
    startStep,
    endStep: plan.stepsPerEpoch,
  }, {
    check: async (key, reduced) => {
      divergence?.check(key, reduced.ranks);
      if (judge.foresee(reduced) !== "fail") return;
      throw await nonFinite(key, judgedNow(reduced), signal);
    },
    decide: ({ step }) => shouldStop() || step + 1 >= until ? "stop" : "continue",
    mayDecideAhead,
    onStep: async (key, reduced) => {
      const { scale } = judge;
      const verdict = judge.judge(reduced);
      const judged = { ...judgedNow(reduced), scale };
      if (verdict === "fail") throw await nonFinite(key, judged, signal);
      if (verdict === "skip") await onSkipped?.(key, judged, signal);
      const { lossSum, weight, correct, samples: count, statisticsRows } = reduced;
      const sums = verdict === "skip" ? NOTHING : { lossSum, weight, correct, count };
      addTo(totals, sums);
      trained.stepsDone++;
      trained.samples += count;
      if (verdict === "apply") {
        if (weight > 0) trained.optimizerSteps++;
        trained.trackedBatches += reduced.trackedBatches;
        leftOut.samples += count - statisticsRows;
        if (count > statisticsRows) leftOut.steps++;
      }
      noteStart();
      await onStep(trained.stepsDone, sums, reduced.ranks);
      const loss = totals.weight > 0 ? { loss: totals.lossSum / totals.weight } : {};
      reporter.progress({ done: done + trained.samples, ...loss });
    },
  }, signal);
  return {
    ...trained,
    totals,
    leftOut,
    ...(judge.lossScale ? { lossScale: judge.lossScale } : {}),
    ...given("nonFinite", judge.nonFinite),
    skipped: skippedImages.take(epoch, startStep, trained.stepsDone),
  };
}

/** The numbers with which a span of steps begins. */
interface SpanStart {
  readonly optimizerSteps: number;
  readonly lossScale?: Json;
  readonly nonFinite?: Json;
}

function addTo(totals: EpochTotals, sums: EpochTotals): void {
  totals.lossSum += sums.lossSum;
  totals.weight += sums.weight;
  totals.correct += sums.correct;
  totals.count += sums.count;
}

/**
 * A span of training steps within an epoch: sums of the losses, points of the history, and the program's
 * callbacks.
 *
 * @module
 */
import { anySignal } from "../base/async.ts";
import { lastStep, type StepKey } from "../base/step_key.ts";
import type { RankReport } from "../exchange/gradient_exchange.ts";
import {
  driveEpoch,
  type EpochTotals,
  type JudgedTotals,
  type TrainedEpoch,
} from "./epochs/drive_epoch.ts";
import { nonFiniteReportOf } from "./epochs/non_finite_origin.ts";
import { epochDriver } from "./epoch_context.ts";
import { pointAt, type RunContext } from "./run_context.ts";
import type { Position } from "./state/run_state.ts";
import { judgeStateOf } from "../train/step_judge.ts";

/** Milliseconds that a step gets to end after an interruption; after that it is abandoned. */
const STOP_MS = 2_500;

/** Points of the training loss per epoch, unless `train.logEverySteps` is set. */
const LOSS_POINTS = 20;

/** Trains to a given step of the epoch and records points of the loss. */
export async function trainSpan(
  context: RunContext,
  position: Position,
  until: number,
): Promise<TrainedEpoch> {
  const { run, history, watch, callbacks, signal } = context;
  const { epoch, stepsDone: startStep, optimizerSteps, totals } = position;
  const every = run.config.train.logEverySteps ?? Math.ceil(run.plan.stepsPerEpoch / LOSS_POINTS);
  const seen = { ...totals };
  let recent: Pick<EpochTotals, "lossSum" | "weight"> = watch.pending ?? { lossSum: 0, weight: 0 };
  const callProgram = stepListener(context, epoch);
  const onStep = async (stepsDone: number, sums: EpochTotals, ranks: readonly RankReport[]) => {
    watch.step(sums, ranks);
    await callProgram(stepsDone, sums);
    seen.count += sums.count;
    recent = { lossSum: recent.lossSum + sums.lossSum, weight: recent.weight + sums.weight };
    if (recent.weight === 0 || (stepsDone % every !== 0 && stepsDone < until)) return;
    const point = pointAt({ epoch, stepsDone, totals: seen }, run);
    history.losses.push({ ...point, loss: recent.lossSum / recent.weight });
    watch.point({ ...point, learningRate: run.plan.rates.at(lastStep({ epoch, stepsDone })) });
    recent = { lossSum: 0, weight: 0 };
  };
  watch.begin();
  const limit = abortedAfter(signal, STOP_MS);
  const shouldStop = () => callbacks.wantsEnd || (signal?.aborted ?? false);
  return await driveEpoch(
    {
      ...epochDriver(context),
      divergence: context.divergence,
      onSkipped: (...step) => reportSkipped(context, ...step),
    },
    { epoch, startStep, optimizerSteps, ...judgeStateOf(run.config, position) },
    { before: totals, until, shouldStop, mayDecideAhead: !callbacks.hearsSteps, onStep },
    limit.signal,
  ).finally(() => limit.end());
}

/** Reports a skipped step, the first one with its origin: the rank that is to blame looks for it now. */
async function reportSkipped(
  { cluster, skippedSteps }: RunContext,
  key: StepKey,
  totals: JudgedTotals,
  signal?: AbortSignal,
): Promise<void> {
  const ends = anySignal(cluster.lost, signal);
  const report = skippedSteps.isFirst
    ? await nonFiniteReportOf(cluster.skipped.nonFinite, key, totals, ends)
    : undefined;
  skippedSteps.report(key, { ...totals, report });
}

/** Calls the program's `onStep` after each step of an epoch, if there is one. */
function stepListener(
  { run: { plan }, callbacks }: RunContext,
  epoch: number,
): (stepsDone: number, sums: EpochTotals) => Promise<void> {
  let before = performance.now();
  return async (stepsDone, { lossSum, weight, correct, count }) => {
    if (!callbacks.hearsSteps) return;
    const now = performance.now();
    await callbacks.step({
      epoch,
      step: stepsDone,
      steps: plan.stepsPerEpoch,
      loss: lossSum / weight,
      accuracy: correct / count,
      learningRate: plan.rates.at(lastStep({ epoch, stepsDone })),
      imagesPerSecond: 1000 * count / (now - before),
    });
    before = performance.now();
  };
}

/** A signal that fires some time after `signal`, for a step that takes too long to end. */
function abortedAfter(
  signal: AbortSignal | undefined,
  milliseconds: number,
): { signal: AbortSignal; end: () => void } {
  const controller = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const start = () => timer = setTimeout(() => controller.abort(signal!.reason), milliseconds);
  signal?.addEventListener("abort", start, { once: true });
  return {
    signal: controller.signal,
    end: () => {
      signal?.removeEventListener("abort", start);
      clearTimeout(timer);
    },
  };
}

/**
 * Trains epoch by epoch: steps, validations, and the records of both.
 *
 * @module
 */
import { counted } from "../base/format.ts";
import { LockstepError } from "../base/errors.ts";
import { recovering } from "../cluster/recovering.ts";
import type { RunEvents } from "../events/run_events.ts";
import { type LeftOut, requireUsable } from "../metrics/check_scores.ts";
import { earlyStopReason, monitored } from "../metrics/monitor.ts";
import { countBatches } from "../models/batch_counts.ts";
import { WORKER_COMMANDS } from "../protocol/worker_commands.ts";
import { type EpochRecord, HISTORY_FILE } from "../records/history.ts";
import type { KeptFeatures } from "../train/feature_cache.ts";
import type { OutOfStatistics } from "./epochs/drive_epoch.ts";
import type { PreparedRun } from "./preparation/prepare.ts";
import { recordEpoch } from "./record_epoch.ts";
import { isMultiple, type RunContext } from "./run_context.ts";
import { nextEpoch, type Position, saveLast } from "./state/run_state.ts";
import { trainSpan } from "./train_span.ts";
import { isValidated, reportFeatures, validateEpoch, validateWithin } from "./validations.ts";

/** Name of the newest state in a run folder. */
const LAST = "checkpoints/last";

/**
 * Trains and validates from a position to the last epoch, or until early stopping or the program ends the
 * training. The position advances with each step.
 */
export async function runEpochs(context: RunContext, position: Position): Promise<void> {
  const { run: { config }, history, callbacks, signal } = context;
  const isStart = position.epoch === 1 && position.stepsDone === 0;
  if (config.validate.atStart && isStart && history.validations.length === 0) {
    await validateWithin(context, position);
  }
  let kept: KeptFeatures | undefined;
  for (let epoch = position.epoch; epoch <= config.train.epochs; epoch++) {
    if (epoch !== position.epoch) {
      Object.assign(position, nextEpoch(position));
    }
    const start = performance.now();
    const imagesPerSecond = await trainPart(context, position);
    signal?.throwIfAborted();
    callbacks.throwFailure();
    if (callbacks.stoppedBy) return await stopEarly(context, position, "onStep said stop");
    const validated = await validateEpoch(context, position);
    reportFeatures(context, epoch, validated.features, kept);
    kept = validated.features;
    const { totals } = position;
    const { loss, accuracy, count, metrics } = validated;
    const record: EpochRecord = {
      epoch,
      learningRate: context.run.plan.rates.at({ epoch, step: context.run.plan.stepsPerEpoch - 1 }),
      train: { loss: totals.lossSum / totals.weight, accuracy: totals.correct / totals.count },
      validation: { loss, accuracy, count },
      ...(metrics ? { metrics } : {}),
      seconds: position.seconds + (performance.now() - start) / 1000,
      imagesPerSecond,
      ...(position.lossScale ? { skippedSteps: position.lossScale.skippedSteps } : {}),
      ...(position.nonFinite ? { nonFiniteSteps: position.nonFinite.ofEpoch } : {}),
    };
    await recordEpoch(context, position, validated, record);
    await callbacks.epoch(record);
    const { earlyStopping } = config.train;
    const reason = (earlyStopping && earlyStopReason(earlyStopping, history.epochs)) ??
      (callbacks.stoppedBy && "onEpoch said stop");
    if (reason && epoch < config.train.epochs) {
      await stopEarly(context, position, reason);
      break;
    }
  }
  if (context.saved.isMissing(LAST)) await saveState(context, position);
  requireBest(context);
}

/** Refuses a successful end without a best checkpoint, which needs one epoch with a finite monitored metric. */
export function requireBest(
  { run: { config: { checkpoint } }, history, saved }: Pick<
    RunContext,
    "run" | "history" | "saved"
  >,
): void {
  if (history.best.epoch > 0 || history.epochs.length === 0) return;
  saved.requireAll();
  const metric = { metric: checkpoint.monitor };
  if (history.epochs.some((each) => Number.isFinite(monitored(metric, each)))) {
    throw new LockstepError(
      "The best weights are lost, and no epoch came after that: checkpoints/last holds the newest state; go back to an " +
        "older checkpoint with --from, or train more epochs (--set train.epochs=…)",
    );
  }
  throw new LockstepError(
    `checkpoint.monitor is ${checkpoint.monitor}, which was NaN or infinite after each of ${history.epochs.length} ` +
      "epochs, so there is no best checkpoint; checkpoints/last holds the newest state: mend the metric, or monitor " +
      "another one",
  );
}

/** Records the reason why training ends early. */
async function stopEarly(
  { history, record, events, saved }: RunContext,
  { epoch, stepsDone: step }: Position,
  reason: string,
): Promise<void> {
  history.stopped = { epoch, step, reason };
  await saved.attempt(HISTORY_FILE, `epoch ${epoch}, step ${step}`, () => record.save(history));
  events.emit({ type: "stopped", epoch, step, reason });
}

/**
 * Trains the rest of an epoch and saves the state; returns images per second.
 *
 * @throws {LockstepError} when no image of the epoch, or of a class, could be used; no state is saved then
 */
async function trainPart(context: RunContext, position: Position): Promise<number> {
  const { run, callbacks, signal } = context;
  if (position.stepsDone >= run.plan.stepsPerEpoch) { // stopped between training and validation
    return position.totals.count / Math.max(1e-6, position.seconds);
  }
  const spent = { samples: 0, seconds: 0 };
  const { validate: { everySteps: validateEvery }, checkpoint: { everySteps: saveEvery } } =
    run.config;
  const skipped: LeftOut[] = [];
  const save = () => saveState(context, { ...position, seconds: position.seconds + spent.seconds });
  // A run that was interrupted at this step has no validation of this step yet.
  if (isMultiple(position.stepsDone, validateEvery) && !isValidated(context.history, position)) {
    await validateWithin(context, position);
  }
  for (;;) {
    const until = Math.min(
      run.plan.stepsPerEpoch,
      nextMultiple(position.stepsDone, validateEvery),
      nextMultiple(position.stepsDone, saveEvery),
    );
    const start = performance.now();
    const trained = await trainSpan(context, position, until);
    const seconds = (performance.now() - start) / 1000;
    spent.seconds += seconds;
    spent.samples += trained.samples;
    context.skipped.report(trained.skipped);
    skipped.push(...trained.skipped);
    countBatches(run.replica.model, trained.trackedBatches);
    reportLeftOut(context.events, position.epoch, trained.leftOut);
    const secondsPerStep = seconds / (trained.stepsDone - position.stepsDone);
    position.stepsDone = trained.stepsDone;
    position.totals = trained.totals;
    position.optimizerSteps += trained.optimizerSteps;
    if (trained.lossScale) position.lossScale = trained.lossScale;
    if (trained.nonFinite) position.nonFinite = trained.nonFinite;
    if (position.stepsDone >= run.plan.stepsPerEpoch || signal?.aborted || callbacks.wantsEnd) {
      break;
    }
    if (isMultiple(position.stepsDone, validateEvery)) {
      await validateWithin(context, position, secondsPerStep);
    }
    if (isMultiple(position.stepsDone, saveEvery)) await save();
  }
  if (position.stepsDone >= run.plan.stepsPerEpoch) checkTrained(run, position, skipped);
  await save();
  return spent.samples / spent.seconds;
}

/**
 * Refuses an epoch without a usable image, or without a usable image of some class.
 *
 * After a resume within the epoch, the images that were skipped earlier are unknown. A class without a usable
 * image is then found only at the end of the next epoch. An epoch without any usable image is always found.
 *
 * @param skipped Images skipped since the epoch's start, or since the resume
 */
function checkTrained(
  { dataset: { train: samples, classes } }: PreparedRun,
  { epoch, totals, nonFinite }: Position,
  skipped: readonly LeftOut[],
): void {
  requireUsable({ what: "training", samples, classes, skipped });
  if (totals.weight > 0) return;
  const isSkipped = totals.count === 0 && (nonFinite?.ofEpoch ?? 0) > 0;
  throw new LockstepError(
    `No image of epoch ${epoch} counts in the loss: ${
      isSkipped
        ? "its steps were skipped, as their loss or gradients were NaN or infinite"
        : totals.count === 0
        ? "none could be used"
        : "all belong to classes whose weight in train.classWeights is 0"
    }`,
  );
}

/**
 * Saves the state of training. The history is written first: a resume removes records that are newer than the
 * checkpoint, whereas records older than the checkpoint could not be restored.
 */
async function saveState(context: RunContext, position: Position): Promise<void> {
  const { folder, run, history, record, saved, watch: { pending } } = context;
  await readState(context);
  const state = `epoch ${position.epoch}, step ${position.stepsDone}`;
  const save = async () => {
    await record.save(history);
    const here = { ...position, ...(pending ? { pending } : {}) };
    await saveLast(folder, run, { position: here, history });
  };
  await saved.attempt(LAST, state, save);
}

function nextMultiple(step: number, every = Infinity): number {
  return every === Infinity ? Infinity : (Math.floor(step / every) + 1) * every;
}

/** Copies the workers' state into the coordinator's replica. */
async function readState({ run, cluster }: RunContext): Promise<void> {
  const [{ payload }] = await recovering(
    cluster,
    () => cluster.callAll(WORKER_COMMANDS.readState, { hold: null }, { ranks: [0] }), // all hold the same
  );
  await run.replica.state.importState(payload!);
}

/** Reports the steps and samples that BatchNorm's running statistics don't include. */
function reportLeftOut(
  events: RunEvents,
  epoch: number,
  { steps, samples }: OutOfStatistics,
): void {
  if (samples === 0) return;
  events.emit({
    type: "warning",
    message:
      `BatchNorm had one value per channel in ${counted(steps, "step")} of epoch ${epoch}: ` +
      `${counted(samples, "image")}, each computed by itself, left out of the running statistics`,
    kept: false,
  });
  events.emit({ type: "statisticsLeftOut", epoch, steps, samples });
}

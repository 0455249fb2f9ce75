/**
 * Trains epoch by epoch: steps, validations, and the records of both.
 *
 * @module
 */
import { counted } from "../base/format.ts";
import { LockstepError } from "../base/errors.ts";
import { confusionRecord, perClassAccuracy } from "../metrics/confusion.ts";
import { featureCacheBytes } from "../config/schema.ts";
import { earlyStopReason, isBetter, type Monitor, monitored } from "../metrics/monitor.ts";
import type { RankReport } from "../exchange/gradient_exchange.ts";
import { countBatches } from "../models/batch_counts.ts";
import type { BestEffort } from "../events/best_effort.ts";
import type { EventLog } from "../records/event_log.ts";
import { type EpochRecord, type History, HISTORY_FILE } from "../records/history.ts";
import type { HistoryWriter } from "../records/history_writer.ts";
import { featuresLine, validationLine } from "../terminal/lines.ts";
import { type Prediction, writePredictions } from "../records/predictions.ts";
import { type LeftOut, requireUsable } from "../metrics/check_scores.ts";
import { WORKER_COMMANDS } from "../protocol/worker_commands.ts";
import { statePartSchema } from "../train/command_schemas.ts";
import type { KeptFeatures } from "../train/feature_cache.ts";
import {
  driveEpoch,
  type EpochContext,
  type EpochTotals,
  type OutOfStatistics,
  type TrainedEpoch,
  validate,
  type Validated,
} from "./epochs.ts";
import type { CallbackRunner } from "./callbacks.ts";
import { writePredictionsPicture } from "../preview/images.ts";
import type { PreparedRun } from "./prepare.ts";
import type { ReportWriter } from "./report_writer.ts";
import type { SkippedImages } from "./skipped_images.ts";
import type { RunWatch } from "./run_watch.ts";
import type { SavedState } from "./saved_state.ts";
import { nextEpoch, type Position, saveBest, saveEpoch, saveLast } from "./run_state.ts";

/** Milliseconds that a step may take to end after an interruption, before it is given up. */
const STOP_MS = 2_500;

/** The newest state, in a run folder. */
const LAST = "checkpoints/last";

/** Points of the training loss per epoch, unless `train.logEverySteps` says otherwise. */
const LOSS_POINTS = 20;

/** A run on its way. */
export interface RunContext extends EpochContext {
  readonly folder: string;
  readonly history: History;
  readonly record: HistoryWriter;
  readonly events: EventLog;
  readonly callbacks: CallbackRunner;
  readonly watch: RunWatch;
  readonly reports: ReportWriter;
  readonly effort: BestEffort;
  readonly skipped: SkippedImages;
  readonly saved: SavedState;
  readonly signal: AbortSignal | undefined;
}

/**
 * Trains and validates from a position, which moves along, to the last epoch or to where early stopping or the
 * program says stop.
 */
export async function runEpochs(context: RunContext, position: Position): Promise<void> {
  const { run: { config }, history, callbacks, signal } = context;
  const isStart = position.epoch === 1 && position.step === 0;
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
    const validated = await validate(context, epoch, signal ?? new AbortController().signal);
    context.skipped.report(validated.skipped);
    reportMetrics(context, `epoch ${epoch}`, validated.metrics);
    reportFeatures(context, epoch, validated.features, kept);
    kept = validated.features;
    const { totals } = position;
    const { loss, accuracy, count, metrics } = validated;
    const own = metrics ? { metrics } : {};
    const point = { ...pointAt(position, context.run), loss, accuracy, ...own };
    history.validations.push(point);
    context.watch.loggers.validation(point);
    const record: EpochRecord = {
      epoch,
      learningRate: context.run.plan.rates.at({ epoch, step: context.run.plan.stepsPerEpoch - 1 }),
      train: { loss: totals.lossSum / totals.weight, accuracy: totals.correct / totals.count },
      validation: { loss, accuracy, count },
      ...own,
      seconds: position.seconds + (performance.now() - start) / 1000,
      imagesPerSecond,
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

/** Refuses to end well without a best checkpoint, which needs one epoch whose monitored metric is finite. */
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

/** Puts on record why training ends here. */
async function stopEarly(
  { history, record, reporter, events, saved }: RunContext,
  { epoch, step }: Position,
  reason: string,
): Promise<void> {
  history.stopped = { epoch, step, reason };
  await saved.attempt(HISTORY_FILE, `epoch ${epoch}, step ${step}`, () => record.save(history));
  events.append("stopped", history.stopped);
  reporter.info(`Stopped in epoch ${epoch}: ${reason}`);
}

/**
 * Trains the rest of an epoch and saves the state; returns images per second.
 *
 * @throws {LockstepError} when no image of the epoch, or of a class, could be used; nothing is saved then
 */
async function trainPart(context: RunContext, position: Position): Promise<number> {
  const { run, callbacks, signal } = context;
  if (position.step >= run.plan.stepsPerEpoch) { // stopped between training and validation
    return position.totals.count / Math.max(1e-6, position.seconds);
  }
  const spent = { samples: 0, seconds: 0 };
  const { validate: { everySteps: validateEvery }, checkpoint: { everySteps: saveEvery } } =
    run.config;
  const skipped: LeftOut[] = [];
  const save = () => saveState(context, { ...position, seconds: position.seconds + spent.seconds });
  // A run that was interrupted at this step has not been validated there yet.
  if (isMultiple(position.step, validateEvery) && !isValidated(context.history, position)) {
    await validateWithin(context, position);
  }
  for (;;) {
    const until = Math.min(
      run.plan.stepsPerEpoch,
      nextMultiple(position.step, validateEvery),
      nextMultiple(position.step, saveEvery),
    );
    const start = performance.now();
    const trained = await trainSpan(context, position, until);
    const seconds = (performance.now() - start) / 1000;
    spent.seconds += seconds;
    spent.samples += trained.samples;
    context.skipped.report(trained.skipped);
    skipped.push(...trained.skipped);
    countBatches(run.replica.model, trained.trackedBatches);
    reportLeftOut(context, position.epoch, trained.leftOut);
    const secondsPerStep = seconds / (trained.step - position.step);
    position.step = trained.step;
    position.totals = trained.totals;
    position.optimizerSteps += trained.optimizerSteps;
    if (position.step >= run.plan.stepsPerEpoch || signal?.aborted || callbacks.wantsEnd) break;
    if (isMultiple(position.step, validateEvery)) {
      await validateWithin(context, position, secondsPerStep);
    }
    if (isMultiple(position.step, saveEvery)) await save();
  }
  if (position.step >= run.plan.stepsPerEpoch) checkTrained(run, position, skipped);
  await save();
  return spent.samples / spent.seconds;
}

/**
 * Refuses an epoch in which nothing, or nothing of a class, could be learned.
 *
 * After a resume within the epoch, the images left out before are unknown, so that a class without a usable image is
 * found only at the end of the next epoch. An epoch without any usable image is always found.
 *
 * @param skipped Images left out since the epoch's start, or since the resume
 */
function checkTrained(
  { dataset: { train: samples, classes } }: PreparedRun,
  { epoch, totals }: Position,
  skipped: readonly LeftOut[],
): void {
  requireUsable({ what: "training", samples, classes, skipped });
  if (totals.weight > 0) return;
  throw new LockstepError(
    `No image of epoch ${epoch} counts in the loss: ${
      totals.count === 0
        ? "none could be used"
        : "all belong to classes whose weight in train.classWeights is 0"
    }`,
  );
}

/**
 * Saves the state of training. The history goes first: what it has beyond the checkpoint is cut off when the run is
 * resumed, whereas points that only the checkpoint knew of would be lost.
 */
async function saveState(context: RunContext, position: Position): Promise<void> {
  const { folder, run, history, record, saved, watch: { pending } } = context;
  await readState(context);
  const state = `epoch ${position.epoch}, step ${position.step}`;
  const save = async () => {
    await record.save(history);
    const here = { ...position, ...(pending ? { pending } : {}) };
    await saveLast(folder, run, { position: here, history });
  };
  await saved.attempt(LAST, state, save);
}

/** Tells whether the validation at a place in an epoch is on record; before the first step there is none. */
function isValidated({ validations }: History, { epoch, step }: Position): boolean {
  return step === 0 || validations.some((point) => point.epoch === epoch && point.step === step);
}

function nextMultiple(step: number, every = Infinity): number {
  return every === Infinity ? Infinity : (Math.floor(step / every) + 1) * every;
}

function isMultiple(step: number, every: number | undefined): boolean {
  return every !== undefined && step % every === 0;
}

/** Trains up to a number of steps of the epoch, and keeps points of the loss. */
async function trainSpan(
  context: RunContext,
  { epoch, step: startStep, optimizerSteps, totals }: Position,
  until: number,
): Promise<TrainedEpoch> {
  const { run, history, watch, callbacks, signal } = context;
  const every = run.config.train.logEverySteps ?? Math.ceil(run.plan.stepsPerEpoch / LOSS_POINTS);
  const seen = { ...totals };
  let recent: Pick<EpochTotals, "lossSum" | "weight"> = watch.pending ?? { lossSum: 0, weight: 0 };
  const tell = stepTeller(context, epoch);
  const onStep = async (step: number, sums: EpochTotals, ranks: readonly RankReport[]) => {
    watch.step(sums, ranks);
    await tell(step, sums);
    seen.count += sums.count;
    recent = { lossSum: recent.lossSum + sums.lossSum, weight: recent.weight + sums.weight };
    if (recent.weight === 0 || (step % every !== 0 && step < until)) return;
    const point = pointAt({ epoch, step, totals: seen }, run);
    history.losses.push({ ...point, loss: recent.lossSum / recent.weight });
    watch.point({ ...point, learningRate: run.plan.rates.at({ epoch, step: step - 1 }) });
    recent = { lossSum: 0, weight: 0 };
  };
  watch.begin();
  const patience = impatient(signal);
  const shouldStop = () => callbacks.wantsEnd || (signal?.aborted ?? false);
  return await driveEpoch(
    context,
    { epoch, startStep, optimizerSteps },
    { before: totals, until, shouldStop, onStep },
    patience.signal,
  ).finally(() => patience.end());
}

/** Tells the program of each step of an epoch. */
function stepTeller(
  { run: { plan }, callbacks }: RunContext,
  epoch: number,
): (step: number, sums: EpochTotals) => Promise<void> {
  let before = performance.now();
  return async (step, { lossSum, weight, correct, count }) => {
    if (!callbacks.hearsSteps) return;
    const now = performance.now();
    await callbacks.step({
      epoch,
      step,
      steps: plan.stepsPerEpoch,
      loss: lossSum / weight,
      accuracy: correct / count,
      learningRate: plan.rates.at({ epoch, step: step - 1 }),
      imagesPerSecond: 1000 * count / (now - before),
    });
    before = performance.now();
  };
}

/** Validates before the first step or within an epoch. */
async function validateWithin(
  context: RunContext,
  position: Position,
  secondsPerStep?: number,
): Promise<void> {
  const { run, history, reporter, events, watch, signal } = context;
  const { epoch, step, totals } = position;
  const validated = await validate(context, epoch, signal ?? new AbortController().signal);
  context.skipped.report(validated.skipped);
  reportMetrics(context, `epoch ${epoch}, step ${step}`, validated.metrics);
  const { loss, accuracy, metrics } = validated;
  const point = {
    ...pointAt(position, run),
    loss,
    accuracy,
    ...(metrics ? { metrics } : {}),
  };
  history.validations.push(point);
  events.append("validation", point);
  watch.loggers.validation(point);
  reporter.info(validationLine({
    epoch,
    step,
    steps: run.plan.stepsPerEpoch,
    loss,
    accuracy,
    ...(totals.weight > 0 ? { trainLoss: totals.lossSum / totals.weight } : {}),
    ...(secondsPerStep === undefined ? {} : { secondsPerStep }),
  }));
}

/** Returns the place of a position on the axis of images seen. */
function pointAt(
  { epoch, step, totals }: Pick<Position, "epoch" | "step" | "totals">,
  { plan }: Pick<PreparedRun, "plan">,
) {
  return { examples: (epoch - 1) * plan.samplesPerEpoch + totals.count, epoch, step };
}

/** Brings the workers' state into the coordinator's replica, part by part. */
async function readState({ run, cluster }: RunContext): Promise<void> {
  for (const { result, payload } of await cluster.callAll(WORKER_COMMANDS.readState)) {
    if (payload) run.replica.state.importState(payload, statePartSchema.parse(result));
  }
}

/** A signal that fires some time after `signal`: when a step takes too long to wait for its end. */
function impatient(signal: AbortSignal | undefined): { signal: AbortSignal; end: () => void } {
  const controller = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const start = () => timer = setTimeout(() => controller.abort(signal!.reason), STOP_MS);
  signal?.addEventListener("abort", start, { once: true });
  return {
    signal: controller.signal,
    end: () => {
      signal?.removeEventListener("abort", start);
      clearTimeout(timer);
    },
  };
}

/** Puts an epoch on record: history, best checkpoint, plots. */
async function recordEpoch(
  context: RunContext,
  position: Position,
  validated: Validated,
  record: EpochRecord,
): Promise<void> {
  const { run, reporter, folder, history, events, watch, reports, saved } = context;
  const { config, dataset: { classes } } = run;
  const { epoch, accuracy } = { epoch: record.epoch, accuracy: record.validation.accuracy };
  history.epochs.push(record);
  const { monitor, mode, everyEpochs } = config.checkpoint;
  // The history names as best what is in `checkpoints/best`.
  const isBest = isBestEpoch({ metric: monitor, ...(mode ? { mode } : {}) }, history, record) &&
    await saved.attempt(
      "checkpoints/best",
      `epoch ${epoch}`,
      () => saveBest(folder, run, position, accuracy),
    );
  if (isBest) {
    history.best = {
      epoch,
      accuracy,
      classes,
      perClassAccuracy: perClassAccuracy(validated.confusion, classes),
      ...confusionRecord(validated.confusion),
    };
    await showBest(context, validated, epoch);
  }
  if (isMultiple(epoch, everyEpochs)) {
    const write = () => saveEpoch(folder, run, position, accuracy);
    await saved.attempt(`checkpoints/epoch-${epoch}`, `epoch ${epoch}`, write);
  }
  // Loggers go first: what they have beyond the history is taken back when the run is resumed.
  watch.loggers.epoch(record);
  const save = () => context.record.save(history);
  await saved.attempt(HISTORY_FILE, `epoch ${epoch}`, save);
  events.append("epoch", { ...record });
  reporter.epochDone(record, config.train.epochs, isBest);
  await reports.afterEpoch();
}

/** Writes and draws what the best weights make of the validation set. */
async function showBest(
  { run, folder, watch, effort }: RunContext,
  validated: Validated,
  epoch: number,
): Promise<void> {
  await effort.attempt(
    "predictions.csv",
    () => writePredictions(folder, predictionsOf(run, validated)),
  );
  const step = epoch * run.plan.stepsPerEpoch;
  await effort.attempt("predictions.png", async () => {
    await writePredictionsPicture(folder, run, epoch, validated.predictions);
    await watch.image("predictions", step);
  });
  if (!watch.loggers.takesPictures) return;
  await effort.attempt("The picture of the confusion matrix", async () => {
    watch.loggers.picture("confusion", await drawConfusion(validated, run, epoch), step);
  });
}

/** The confusion matrix of an epoch, for loggers that show images. */
async function drawConfusion(
  { confusion, accuracy, count }: Validated,
  { config, dataset: { classes } }: PreparedRun,
  epoch: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const { confusionAsPng } = await import("../plots/confusion_plot.ts");
  return await confusionAsPng({
    model: { name: config.model.name, runName: config.name, epoch },
    data: { split: "val" },
    classes,
    ...confusionRecord(confusion),
    accuracy,
    count,
  });
}

/** Tells whether an epoch is the best so far; the first one is, if the monitored value is finite. */
function isBestEpoch(monitor: Monitor, { best, epochs }: History, record: EpochRecord): boolean {
  const before = epochs.find(({ epoch }) => epoch === best.epoch);
  return isBetter(monitor, monitored(monitor, record), before ? monitored(monitor, before) : NaN);
}

/** Returns the model's prediction for each validation image that could be read. */
function predictionsOf(
  { dataset: { val, classes } }: PreparedRun,
  { samples }: Validated,
): Prediction[] {
  return val.flatMap(({ index, label, path }) => {
    const scores = samples[index];
    if (!scores) return [];
    return {
      path,
      trueClass: classes[label],
      predictedClass: classes[scores.ranked[0]],
      confidence: scores.probabilities[0],
    };
  });
}

/** Reports the amount of features that the workers keep, when the amount has changed. */
function reportFeatures(
  { reporter, run: { config }, events }: RunContext,
  epoch: number,
  features: KeptFeatures | undefined,
  before: KeptFeatures | undefined,
): void {
  if (!features || features.bytes === before?.bytes) return;
  events.append("features", { epoch, ...features });
  reporter.info(featuresLine(features, config.workers, featureCacheBytes(config)));
}

/** Warns of metrics that are NaN or infinite: records show them as `null`, and they are never best. */
function reportMetrics(
  { reporter, events, run: { config: { validate } } }: RunContext,
  where: string,
  metrics: Readonly<Record<string, number>> = {},
): void {
  const names = Object.keys(metrics).filter((name) => !Number.isFinite(metrics[name]));
  if (names.length === 0) return;
  const message = `${names.join(", ")} of ${validate.metricsModule} ${
    names.length === 1 ? "is" : "are"
  } NaN or infinite in ${where}: null in the records, and never best`;
  reporter.warn(message);
  events.append("warning", { message });
}

/** Says what BatchNorm could take no variance from. */
function reportLeftOut(
  { reporter, events }: RunContext,
  epoch: number,
  { steps, samples }: OutOfStatistics,
): void {
  if (samples === 0) return;
  reporter.warn(
    `BatchNorm had one value per channel in ${counted(steps, "step")} of epoch ${epoch}: ` +
      `${counted(samples, "image")}, each computed by itself, left out of the running statistics`,
  );
  events.append("statisticsLeftOut", { epoch, steps, samples });
}

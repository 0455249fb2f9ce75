/**
 * The life of a run, top to bottom.
 *
 * @module
 */
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { InterruptedError } from "../base/errors.ts";
import { writeFileAtomically } from "../base/paths.ts";
import { LOCKSTEP_VERSION, NATS_SERVER_VERSION } from "../base/versions.ts";
import { checkConfig } from "../config/checks.ts";
import type { Config } from "../config/schema.ts";
import { perClassAccuracy } from "../metrics/confusion.ts";
import { learningRateAt } from "../optim/schedule.ts";
import { writeCurves } from "../reports/curves.ts";
import { validationLine } from "../reports/lines.ts";
import { writeLossCurve } from "../reports/loss_curve.ts";
import { type Prediction, writePredictions } from "../reports/predictions.ts";
import { describeEnvironment, writeEnvironment } from "../reports/environment.ts";
import { EventLog } from "../reports/event_log.ts";
import { type EpochRecord, type History, writeHistory } from "../reports/history.ts";
import { type Reporter, silentReporter } from "../reports/reporter.ts";
import { createRunFolder, pointLatest } from "../reports/run_folder.ts";
import { COMMANDS } from "../train/commands.ts";
import { loadCheckpoint, type LoadedCheckpoint } from "../train/load_checkpoint.ts";
import { threadsPerWorker } from "../train/job.ts";
import { Crew, failedRank } from "./crew.ts";
import {
  type EpochContext,
  type Skipped,
  type Totals,
  type TrainedEpoch,
  trainEpoch,
  validate,
  type Validated,
} from "./epochs.ts";
import { writeBatchPicture, writePredictionsPicture } from "./pictures.ts";
import { type PreparedRun, prepareRun } from "./prepare.ts";
import {
  bestPath,
  nextEpoch,
  type Position,
  resume,
  saveBest,
  saveLast,
  startPosition,
} from "./run_state.ts";

/** How to run. */
export interface TrainOptions {
  /** Listens to the run; silent unless given. */
  readonly reporter?: Reporter;
  /** Folder of a run to go on with, from its `checkpoints/last`. */
  readonly resume?: string;
  /** Let TensorFlow write its notices. */
  readonly verbose?: boolean;
  /** Ends the run at the next step, with a checkpoint. */
  readonly signal?: AbortSignal;
}

/** What a run leaves. */
export interface TrainResult {
  /** The run folder. */
  readonly folder: string;
  /** Losses and accuracies per epoch, as in `history.json`. */
  readonly history: History;
  /** Loads the weights with the best validation accuracy; the caller disposes of the model. */
  readonly loadBest: () => Promise<LoadedCheckpoint>;
}

/** Milliseconds that a step may take to end after an interruption, before it is given up. */
const STOP_MS = 2_500;

/** Points of the training loss per epoch, unless `train.logEverySteps` says otherwise. */
const LOSS_POINTS = 20;

/**
 * Trains by a config: prepares, starts broker and workers, trains and validates epoch by epoch, and leaves a
 * folder with checkpoints, history and pictures.
 *
 * @param config A validated config, see `loadConfig`
 * @throws {UsageError} for what is wrong before the start
 * @throws {LockstepError} for what goes wrong on the way; the last checkpoint stays whole
 * @throws {InterruptedError} (or the signal's other reason) after an orderly stop
 */
export async function train(config: Config, options: TrainOptions = {}): Promise<TrainResult> {
  const { reporter = silentReporter(), verbose, signal } = options;
  const started = performance.now();
  checkConfig(config);
  const run = await orAborted(prepareRun(config, { reporter, verbose, signal }), signal);
  using _model = run.replica;
  using _pictures = run.folder.source;
  announce(run, reporter);
  const resumed = options.resume ? await resume(options.resume, run) : undefined;
  const folder = options.resume ?? await createRunFolder(config.out, config.name);
  const history = resumed?.history ?? emptyHistory(config);
  const summary = () => ({
    seconds: (performance.now() - started) / 1000,
    bestAccuracy: history.best.accuracy,
    bestEpoch: history.best.epoch,
    folder,
  });
  using events = new EventLog(folder);
  try {
    const position = resumed?.position ?? startPosition();
    if (!resumed) await writeStart(folder, run);
    if (!options.resume) await pointLatest(config.out, folder);
    reporter.info(`Run folder: ${folder}`);
    events.append(resumed ? "resumed" : "started", { epoch: position.epoch, step: position.step });
    signal?.throwIfAborted();

    const { job, replica, natsServer } = run;
    const vectorBytes = replica.vector.byteLength;
    await using crew = await Crew.assemble({
      config,
      job,
      vectorBytes,
      reporter,
      signal,
      ...(natsServer ? { natsServer } : {}),
    });
    events.append("joined", { workers: crew.workers });
    await crew.callAll(COMMANDS.loadState, null, { payload: replica.exportState(), signal });
    await runEpochs({ run, crew, reporter, folder, history, events, signal }, position);

    const { seconds, bestEpoch: epoch, bestAccuracy: accuracy } = summary();
    events.append("finished", { seconds, best: { epoch, accuracy } });
    reporter.summary(summary());
    return { folder, history, loadBest: () => loadCheckpoint(bestPath(folder)) };
  } catch (error) {
    const rank = failedRank(error);
    if (rank !== undefined) reporter.workerFailed(rank);
    if (error instanceof InterruptedError) reporter.summary({ ...summary(), interrupted: true });
    const message = error instanceof Error ? error.message : String(error);
    events.append(error instanceof InterruptedError ? "interrupted" : "failed", { message });
    throw error;
  }
}

/**
 * Waits for `work`, or stops waiting when the signal fires: a download or an unpacking isn't waited for. It
 * goes on until the process ends, and leaves nothing that would be taken for whole.
 */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return await work;
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
    work.catch(() => {}); // nobody waits for it any more
  }
}

interface RunContext extends EpochContext {
  readonly folder: string;
  readonly history: History;
  readonly events: EventLog;
  readonly signal: AbortSignal | undefined;
}

async function runEpochs(context: RunContext, position: Position): Promise<void> {
  const { run: { config, folder: { train } }, history, signal } = context;
  if (config.validate.atStart && history.validations.length === 0) {
    await validateWithin(context, position);
  }
  for (let epoch = position.epoch; epoch <= config.train.epochs; epoch++) {
    if (epoch !== position.epoch) {
      Object.assign(position, nextEpoch(position));
    }
    const start = performance.now();
    const imagesPerSecond = await trainPart(context, position);
    signal?.throwIfAborted();
    const validated = await validate(context, epoch, signal ?? new AbortController().signal);
    reportSkipped(context, validated.skipped);
    const { totals } = position;
    const { loss, accuracy, count } = validated;
    history.validations.push({ ...pointAt(position, train.length), loss, accuracy });
    await recordEpoch(context, position, validated, {
      epoch,
      learningRate: lastRate(context.run, epoch),
      train: { loss: totals.lossSum / totals.weight, accuracy: totals.correct / totals.count },
      validation: { loss, accuracy, count },
      seconds: position.seconds + (performance.now() - start) / 1000,
      imagesPerSecond,
    });
  }
}

/** Trains what is left of an epoch and saves where it stands; returns images per second. */
async function trainPart(context: RunContext, position: Position): Promise<number> {
  const { run, folder, signal } = context;
  if (position.step >= run.stepsPerEpoch) return 0; // stopped between training and validation
  const spent = { samples: 0, seconds: 0 };
  const every = run.config.validate.everySteps ?? run.stepsPerEpoch;
  for (;;) {
    const until = Math.min(run.stepsPerEpoch, (Math.floor(position.step / every) + 1) * every);
    const start = performance.now();
    const trained = await trainSpan(context, position, until);
    const seconds = (performance.now() - start) / 1000;
    spent.seconds += seconds;
    spent.samples += trained.samples;
    reportSkipped(context, trained.skipped);
    const secondsPerStep = seconds / (trained.step - position.step);
    position.step = trained.step;
    position.totals = trained.totals;
    position.optimizerSteps += trained.optimizerSteps;
    if (position.step >= run.stepsPerEpoch || signal?.aborted) break;
    await validateWithin(context, position, secondsPerStep);
  }
  await readState(context);
  await saveLast(folder, run, { ...position, seconds: position.seconds + spent.seconds });
  if (signal?.aborted) await writeHistory(folder, context.history);
  return spent.samples / spent.seconds;
}

/** Trains up to a number of steps of the epoch, and keeps points of the loss. */
async function trainSpan(
  context: RunContext,
  { epoch, step: startStep, optimizerSteps, totals }: Position,
  until: number,
): Promise<TrainedEpoch> {
  const { run, history, signal } = context;
  const every = run.config.train.logEverySteps ?? Math.ceil(run.stepsPerEpoch / LOSS_POINTS);
  const seen = { ...totals };
  let recent = { lossSum: 0, weight: 0 };
  const onStep = (step: number, sums: Totals) => {
    seen.count += sums.count;
    recent = { lossSum: recent.lossSum + sums.lossSum, weight: recent.weight + sums.weight };
    if (recent.weight === 0 || (step % every !== 0 && step < until)) return;
    const point = pointAt({ epoch, step, totals: seen }, run.folder.train.length);
    history.losses.push({ ...point, loss: recent.lossSum / recent.weight });
    recent = { lossSum: 0, weight: 0 };
  };
  const patience = impatient(signal);
  const shouldStop = () => signal?.aborted ?? false;
  return await trainEpoch(
    context,
    { epoch, startStep, optimizerSteps },
    { before: totals, until, shouldStop, onStep },
    patience.signal,
  ).finally(() => patience.end());
}

/** Validates before the first step or within an epoch. */
async function validateWithin(
  context: RunContext,
  position: Position,
  secondsPerStep?: number,
): Promise<void> {
  const { run, history, reporter, events, signal } = context;
  const { epoch, step, totals } = position;
  const validated = await validate(context, epoch, signal ?? new AbortController().signal);
  reportSkipped(context, validated.skipped);
  const { loss, accuracy } = validated;
  const point = { ...pointAt(position, run.folder.train.length), loss, accuracy };
  history.validations.push(point);
  events.append("validation", point);
  reporter.info(validationLine({
    epoch,
    step,
    steps: run.stepsPerEpoch,
    loss,
    accuracy,
    ...(totals.weight > 0 ? { trainLoss: totals.lossSum / totals.weight } : {}),
    ...(secondsPerStep === undefined ? {} : { secondsPerStep }),
  }));
}

/** Where a position stands on the axis of pictures seen. */
function pointAt(
  { epoch, step, totals }: Pick<Position, "epoch" | "step" | "totals">,
  samples: number,
) {
  return { examples: (epoch - 1) * samples + totals.count, epoch, step };
}

/** The learning rate of an epoch's last step. */
function lastRate({ config, stepsPerEpoch }: PreparedRun, epoch: number): number {
  const { schedule, lr, epochs } = config.train;
  const place = { epoch, step: stepsPerEpoch - 1 };
  return learningRateAt(schedule, lr, place, { epochs, stepsPerEpoch });
}

/** Brings the workers' state into the coordinator's replica. */
async function readState({ run, crew }: RunContext): Promise<void> {
  const [first] = await crew.callAll(COMMANDS.readState);
  run.replica.importState(first.payload!);
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
  { run, reporter, folder, history, events }: RunContext,
  position: Position,
  validated: Validated,
  record: EpochRecord,
): Promise<void> {
  const { config, folder: { classes } } = run;
  const { epoch, accuracy } = { epoch: record.epoch, accuracy: record.validation.accuracy };
  history.epochs.push(record);
  const isBest = history.best.epoch === 0 || accuracy > history.best.accuracy;
  if (isBest) {
    history.best = {
      epoch,
      accuracy,
      classes,
      perClassAccuracy: perClassAccuracy(validated.confusion, classes),
      confusionMatrix: validated.confusion,
    };
    await saveBest(folder, run, position, accuracy);
    await writePredictions(folder, predictionsOf(run, validated));
    await writePredictionsPicture(folder, run, epoch, validated.predictions);
  }
  await writeHistory(folder, history);
  await writeCurves(folder, history);
  await writeLossCurve(folder, history);
  events.append("epoch", { ...record });
  reporter.epochDone(record, config.train.epochs, isBest);
}

/** What the model makes of each validation picture that could be read. */
function predictionsOf(
  { folder: { val, classes } }: PreparedRun,
  { predictions, confidences }: Validated,
): Prediction[] {
  return val.filter(({ index }) => predictions[index] >= 0).map(({ index, label, path }) => ({
    path,
    trueClass: classes[label],
    predictedClass: classes[predictions[index]],
    confidence: confidences[index],
  }));
}

function reportSkipped({ reporter, events }: RunContext, skipped: readonly Skipped[]): void {
  for (const { path, reason } of skipped) {
    reporter.warn(`Skipped ${path}: ${reason}`);
    events.append("skipped", { path, reason });
  }
}

function emptyHistory(config: Config): History {
  return {
    config,
    epochs: [],
    losses: [],
    validations: [],
    best: { epoch: 0, accuracy: NaN },
    workers: config.workers,
  };
}

/** What a run folder holds before the first step. */
async function writeStart(folder: string, run: PreparedRun): Promise<void> {
  const { config, engine, natsServer } = run;
  const header =
    `# The config of this run with every default filled in (Lockstep ${LOCKSTEP_VERSION}).\n`;
  await writeFileAtomically(join(folder, "config.yaml"), header + stringify(config));
  const environment = await describeEnvironment({
    workers: config.workers,
    threadsPerWorker: threadsPerWorker(config),
    devices: engine.devices.map(({ name }) => name.replace(/^.*device:/, "")),
    tensorflow: engine.tensorflowVersion,
    natsServer: natsServer ? NATS_SERVER_VERSION : config.nats.url,
  });
  await writeEnvironment(folder, environment);
  await writeBatchPicture(folder, run, 1);
  await saveLast(folder, run, startPosition());
}

/** `GPU` when TensorFlow sees one, else `CPU`. */
function deviceOf({ devices }: PreparedRun["engine"]): string {
  return devices.some(({ name }) => name.includes("GPU")) ? "GPU" : "CPU";
}

/** Tells what is about to be trained. */
function announce({ config, engine, folder, replica }: PreparedRun, reporter: Reporter): void {
  const { workers, model, train } = config;
  const threads = threadsPerWorker(config);
  const plural = (count: number, what: string) => `${count} ${what}${count === 1 ? "" : "s"}`;
  reporter.info(
    `Lockstep ${LOCKSTEP_VERSION}, TensorFlow ${engine.tensorflowVersion}: ` +
      `${plural(workers, "worker")} with ${plural(threads, "thread")} each, on ${deviceOf(engine)}`,
  );
  reporter.info(
    `Data: ${plural(folder.train.length, "training picture")}, ` +
      `${folder.val.length} for validation, ${folder.classes.length} classes ` +
      `(${folder.classes.join(", ")})`,
  );
  const { trainable } = replica;
  const learned = trainable.reduce((sum, { variable }) => sum + variable.size, 0);
  const names = trainable.map(({ name, torchShape }) => `  ${name} [${torchShape.join(", ")}]`);
  reporter.info(
    `Model: ${model.name}, ${train.optimizer} with learning rate ${train.lr}; ` +
      `${plural(trainable.length, "parameter")} to learn (${learned.toLocaleString("en")} values):`,
  );
  reporter.info(names.join("\n"));
}

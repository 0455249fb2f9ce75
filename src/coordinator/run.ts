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
import { describeEnvironment, writeEnvironment } from "../reports/environment.ts";
import { EventLog } from "../reports/event_log.ts";
import { type EpochRecord, type History, writeHistory } from "../reports/history.ts";
import { type Reporter, silentReporter } from "../reports/reporter.ts";
import { createRunFolder, pointLatest } from "../reports/run_folder.ts";
import { COMMANDS } from "../train/commands.ts";
import { threadsPerWorker } from "../train/job.ts";
import { Crew, failedRank } from "./crew.ts";
import { type EpochContext, type Skipped, trainEpoch, validate, type Validated } from "./epochs.ts";
import { writeBatchPicture, writePredictionsPicture } from "./pictures.ts";
import { type PreparedRun, prepareRun } from "./prepare.ts";
import {
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
}

/** Milliseconds that a step may take to end after an interruption, before it is given up. */
const STOP_MS = 2_500;

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
    return { folder, history };
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
  const { run: { config }, signal } = context;
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
    await recordEpoch(context, position, validated, {
      epoch,
      learningRate: learningRateAt(config.train.schedule, config.train.lr, epoch),
      train: { loss: totals.lossSum / totals.count, accuracy: totals.correct / totals.count },
      validation: {
        loss: validated.loss,
        accuracy: validated.accuracy,
        count: validated.count,
      },
      seconds: position.seconds + (performance.now() - start) / 1000,
      imagesPerSecond,
    });
  }
}

/** Trains what is left of an epoch and saves where it stands; returns images per second. */
async function trainPart(context: RunContext, position: Position): Promise<number> {
  const { run, crew, folder, signal } = context;
  if (position.step >= run.stepsPerEpoch) return 0; // stopped between training and validation
  const start = performance.now();
  const { epoch, step: startStep, optimizerSteps } = position;
  const patience = impatient(signal);
  const trained = await trainEpoch(
    context,
    { epoch, startStep, optimizerSteps },
    position.totals,
    () => signal?.aborted ?? false,
    patience.signal,
  ).finally(() => patience.end());
  const seconds = (performance.now() - start) / 1000;
  reportSkipped(context, trained.skipped);
  position.step = trained.step;
  position.totals = trained.totals;
  position.optimizerSteps += trained.optimizerSteps;
  const [first] = await crew.callAll(COMMANDS.readState);
  run.replica.importState(first.payload!);
  await saveLast(folder, run, { ...position, seconds: position.seconds + seconds });
  return trained.samples / seconds;
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
    await writePredictionsPicture(folder, run, epoch, validated.predictions);
  }
  await writeHistory(folder, history);
  await writeCurves(folder, history);
  events.append("epoch", { ...record });
  reporter.epochDone(record, config.train.epochs, isBest);
}

function reportSkipped({ reporter, events }: RunContext, skipped: readonly Skipped[]): void {
  for (const { path, reason } of skipped) {
    reporter.warn(`Skipped ${path}: ${reason}`);
    events.append("skipped", { path, reason });
  }
}

function emptyHistory(config: Config): History {
  return { config, epochs: [], best: { epoch: 0, accuracy: NaN }, workers: config.workers };
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

/** Tells what is about to be trained. */
function announce({ config, engine, folder, replica }: PreparedRun, reporter: Reporter): void {
  const { workers, model, train } = config;
  const threads = threadsPerWorker(config);
  const plural = (count: number, what: string) => `${count} ${what}${count === 1 ? "" : "s"}`;
  reporter.info(
    `Lockstep ${LOCKSTEP_VERSION}, TensorFlow ${engine.tensorflowVersion}: ` +
      `${plural(workers, "worker")} with ${plural(threads, "thread")} each`,
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

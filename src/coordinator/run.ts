/**
 * The life of a run, top to bottom.
 *
 * @module
 */
import { counted, groupThousands } from "../base/format.ts";
import { listed } from "../base/listing.ts";
import { join } from "node:path";
import { stringify } from "../deps/yaml.ts";
import { orAborted, waitAtMost } from "../base/async.ts";
import {
  asLockstepError,
  InterruptedError,
  LockstepError,
  messageOf,
  SystemError,
  UsageError,
} from "../base/errors.ts";
import { pathOption, shownPath } from "../base/file_path.ts";
import { lockFolder } from "../base/folder_lock.ts";
import { interruptedBy } from "../base/interruption.ts";
import { removeTemporaries, writeFileAtomically } from "../base/paths.ts";
import { followPointers } from "../base/pointer.ts";
import { LOCKSTEP_VERSION } from "../base/versions.ts";
import { checkConfig } from "../config/checks.ts";
import { keepsTypedPaths } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { describeShares } from "../config/shares.ts";
import { FILE_RECORD, type FileChanges, writeFileRecord } from "../data/datasets/file_record.ts";
import { type LoggerName, LOGGERS } from "../loggers/config.ts";
import type { LoggerStart, OpenLogger } from "../loggers/logger.ts";
import type { NamedLogger } from "../loggers/logger_set.ts";
import {
  describeEnvironment,
  ENVIRONMENT_FILE,
  recordServer,
  writeEnvironment,
} from "../records/environment.ts";
import { earlyStopReason } from "../metrics/monitor.ts";
import { EventLog, EVENTS_FILE, readEvents, standingEvents } from "../records/event_log.ts";
import { type History, HISTORY_FILE } from "../records/history.ts";
import { BestEffort } from "../events/best_effort.ts";
import { HistoryWriter } from "../records/history_writer.ts";
import { type Prediction, readPredictions } from "../records/predictions.ts";
import { type Reporter, silentReporter } from "../events/reporter.ts";
import { createRunFolder, ensureRunFolder, pointLatest } from "../records/run_folder.ts";
import { WORKER_COMMANDS } from "../protocol/worker_commands.ts";
import { loadCheckpoint, type LoadedCheckpoint } from "../inference/load_checkpoint.ts";
import { jobJson } from "../train/job.ts";
import { workerThreads } from "../engine/threads.ts";
import { CallbackRunner, type Callbacks } from "./callbacks.ts";
import { clusterSettings, exchangeSettings } from "./cluster_settings.ts";
import { Cluster, failedRank } from "../cluster/cluster.ts";
import { readBatch } from "../preview/images.ts";
import { type PreparedRun, prepareRun } from "./prepare.ts";
import { ReportWriter } from "./report_writer.ts";
import { openRunCache } from "./run_cache.ts";
import { resumePoint } from "./resume_point.ts";
import {
  bestPath,
  checkpointPath,
  type Position,
  resume,
  type Resumed,
  saveLast,
  startPosition,
} from "./run_state.ts";
import {
  checkResumedData,
  describeFileChanges,
  hasOtherImages,
  recordOfFileChanges,
} from "./resumed_data.ts";
import {
  checkResumedConfig,
  recordChanges,
  type ResumedConfig,
  resumeNotes,
} from "./resumed_config.ts";
import { checkDashboard, openDashboard } from "./run_dashboard.ts";
import { RunWatch } from "./run_watch.ts";
import { SavedState } from "./saved_state.ts";
import { SkippedImages } from "./skipped_images.ts";
import { requireBest, type RunContext, runEpochs } from "./training.ts";
import { warningReporter } from "./warning_reporter.ts";

/** Milliseconds that an interrupted preparation may take to come to its end. */
const STOP_MS = 1_000;
/** Classes that the first lines of a run name. */
const MAX_NAMES = 50;

/** Options of a training run. */
export interface TrainOptions extends Callbacks {
  /** Listens to the run; silent unless given. */
  readonly reporter?: Reporter;
  /**
   * Folder of a run to go on with, from its `checkpoints/last`. One that ended before its first checkpoint starts over;
   * of one that was killed after its last epoch, the end is completed.
   */
  readonly resume?: string | undefined;
  /** Another checkpoint of that run, such as `last-1`: the run's later records are removed. */
  readonly from?: string | undefined;
  /**
   * Keys of the config, such as `train.lr`, that may differ from the resumed run's so far. Where it runs and who watches
   * may always differ (`workers`, `data.root`, `dashboard` and the like), and `train.epochs` may grow.
   */
  readonly overridden?: readonly string[];
  /** Let a resumed run go on with images that were changed, added or removed. */
  readonly acceptData?: boolean;
  /** Take the run's numbers, beside the loggers of the config. */
  readonly loggers?: readonly OpenLogger[];
  /** The folder of a new run, made when missing; unless given, one below `out` that no other run has. */
  readonly folder?: string;
  /** Said at the start, and kept in the log: what the command line left out of the config's file. */
  readonly notes?: readonly string[];
  /** Let TensorFlow write its notices. */
  readonly verbose?: boolean | undefined;
  /** Ends the run at the next step, with a checkpoint, and with an `InterruptedError` whose cause is its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Result of a run. */
export interface TrainResult {
  /** The run folder. */
  readonly folder: string;
  /** Losses and accuracies per epoch, as in `history.json`. */
  readonly history: History;
  /** Loads the weights with the best validation accuracy; the caller disposes of the model. */
  readonly loadBest: () => Promise<LoadedCheckpoint>;
  /** Reads what those weights make of each validation image that could be read: `predictions.csv`. */
  readonly loadPredictions: () => Promise<Prediction[]>;
}

/** Keeps other processes from working on a run's folder. */
async function lockRun(folder: string, reporter: Reporter): Promise<Disposable> {
  return await lockFolder(folder, {
    what: "Run",
    cure: "stop it with Ctrl-C",
    onWarning: (message) => reporter.warn(message),
  });
}

/**
 * Trains by a config: prepares, starts broker and workers, trains and validates epoch by epoch, and leaves a
 * folder with checkpoints, history and pictures.
 *
 * @param config A validated config, see `loadConfig`
 * @throws {UsageError} for what is wrong before the start
 * @throws {LockstepError} for failures on the way; the last checkpoint stays whole
 * @throws {InterruptedError} after an orderly stop by `options.signal`
 */
export async function train(config: Config, options: TrainOptions = {}): Promise<TrainResult> {
  using interruption = interruptedBy(options.signal);
  return await trainUntil(config, { ...options, signal: interruption.signal });
}

/** {@linkcode train}, until its signal fires, whose reason is an interruption. */
async function trainUntil(config: Config, options: TrainOptions): Promise<TrainResult> {
  const { verbose, signal } = options;
  const watch = new RunWatch(options.reporter ?? silentReporter(), config.workers);
  const { reporter } = watch;
  const started = performance.now();
  checkConfig(config);
  options.notes?.forEach((note) => reporter.info(note));
  await checkDashboard(config);
  using locks = new DisposableStack();
  const going = options.resume === undefined
    ? undefined
    : await followPointers(pathOption("resume", options.resume));
  const lock = async (folder: string) => locks.use(await lockRun(folder, reporter));
  if (going !== undefined) {
    await lock(going);
    await removeTemporaries(going);
  }
  const from = await resumePointOf(going, options.from);
  const changed = from === undefined
    ? undefined
    : await checkResumedConfig(checkpointPath(going!, from), config, options.overridden);
  const resuming = from !== undefined;
  const run = await preparedUnlessAborted(config, { reporter, verbose, signal, resuming });
  using _model = run.replica;
  using _images = run.dataset.source;
  announce(run, reporter);
  const { acceptData } = options;
  const images = from === undefined
    ? undefined
    : await checkResumedData(going!, run.dataset, acceptData);
  const resumed = from === undefined ? undefined : await resume(going!, run, from, { acceptData });
  const named = going ??
    (options.folder === undefined ? undefined : pathOption("folder", options.folder));
  const folder = named === undefined
    ? await createRunFolder(config.out, config.name)
    : await ensureRunFolder(named);
  if (going === undefined) await lock(folder);
  if (!resumed) await writeConfig(folder, config);
  const history = resumed?.history ?? emptyHistory(config);
  const summary = () => ({
    seconds: (performance.now() - started) / 1000,
    bestAccuracy: history.best.accuracy,
    bestEpoch: history.best.epoch,
    folder,
  });
  await using _dashboard = await openDashboard(
    config,
    folder,
    reporter,
    (line) => options.reporter?.info(line),
  );
  const effort = new BestEffort((line) => reporter.warn(line));
  using events = new EventLog(folder, (append) => effort.attemptNow(EVENTS_FILE, append));
  await using _watch = watch;
  using record = new HistoryWriter(folder, (what, action) => effort.attempt(what, action));
  const reports = new ReportWriter({ run, folder, history, effort });
  const saved = new SavedState({ folder, reporter, events });
  // Images that are left out have events of their own: what else is warned of comes from these two.
  const watched = warningReporter(reporter, (message) => events.append("warning", { message }));
  try {
    const position = resumed?.position ?? startPosition();
    const start = loggerStart(folder, run, position, resumed && history);
    await watch.open(start, loggersOf(config, options));
    if (!resumed) {
      if (options.resume) {
        reporter.info("The run ended before its first checkpoint: it starts over");
      }
      await writeStart({ folder, run, history, record, watch, effort });
    }
    if (named === undefined) await pointLatest(config.out, folder);
    reporter.info(`Run folder: ${shownPath(folder)}`);
    events.append(resumed ? "resumed" : "started", {
      epoch: position.epoch,
      step: position.step,
      ...(from === undefined || from === "last" ? {} : { from }),
      ...(changed && changed.changes.length > 0 ? { changes: changed.changes } : {}),
      ...(images && hasOtherImages(images) ? { data: recordOfFileChanges(images) } : {}),
    });
    if (resumed && !images && run.dataset.files) {
      watched.warn(
        `The run has no ${FILE_RECORD}, so its images are compared by name, class and size alone; it has one from now on`,
      );
      await writeFileRecord(folder, run.dataset.root, run.dataset.files);
    }
    const { place } = resumed ?? { place: position };
    if (images) await followPictures({ run, reporter, folder, history }, images, place);
    if (changed) {
      const places = { position, place };
      await followChanges({ run, reporter, folder, history, record }, changed, places);
    }
    if (position.pending) watch.restore(position.pending);
    delete position.pending; // the watch has it now
    signal?.throwIfAborted();
    const callbacks = new CallbackRunner(options);
    const skipped = new SkippedImages(reporter, events);
    const parts = {
      run,
      reporter,
      folder,
      history,
      record,
      events,
      watch,
      reports,
      effort,
      skipped,
      saved,
    };
    if (resumed?.warning) watched.warn(resumed.warning);
    if (resumed) await catchUp(parts, resumed);
    if (resumed?.isOver) {
      requireBest(parts);
      reporter.info("All epochs are on record: the end of the run is completed");
    } else await trainWithWorkers({ ...parts, callbacks, signal }, position, watched);
    const { seconds, bestEpoch: epoch, bestAccuracy: accuracy } = summary();
    await saved.attempt(HISTORY_FILE, "the end", () => record.finish(history));
    saved.requireAll();
    events.append("finished", { seconds, best: { epoch, accuracy } });
    const report = await reports.atEnd({ images: true });
    if (report) events.append("report");
    reporter.summary({ ...summary(), ...(report ? { report } : {}) });
    return {
      folder,
      history,
      loadBest: () => loadCheckpoint(bestPath(folder), config.model),
      loadPredictions: () => readPredictions(folder),
    };
  } catch (thrown) {
    // A worker or a server that the signal reached as well is no failure.
    const sentence = asLockstepError(thrown);
    const isLoss = sentence instanceof LockstepError && !(sentence instanceof SystemError);
    const error = isLoss && signal?.aborted ? signal.reason : sentence;
    const rank = failedRank(error);
    if (rank !== undefined) reporter.workerFailed(rank);
    const message = messageOf(error);
    await effort.attempt("history.json", () => record.finish(history));
    watch.failed(error);
    const interrupted = error instanceof InterruptedError;
    if (interrupted) saved.tell();
    events.append(interrupted ? "interrupted" : "failed", { message });
    const report = await reports.atEnd({ images: false });
    if (interrupted) reporter.summary({ ...summary(), interrupted, ...(report ? { report } : {}) });
    else if (report) reporter.info(`Report: ${shownPath(report)}`);
    throw error;
  }
}

/**
 * Prepares a run; when the signal fires, waits a moment for what the preparation is at, and lets go of what it still
 * brings.
 */
async function preparedUnlessAborted(
  config: Config,
  options: Parameters<typeof prepareRun>[1],
): Promise<PreparedRun> {
  const preparing = prepareRun(config, options);
  try {
    return await orAborted(preparing, options.signal);
  } catch (error) {
    const over = preparing.then(({ replica, dataset }) => {
      replica[Symbol.dispose]();
      dataset.source[Symbol.dispose]();
    }).catch(() => {}); // it failed as well, for the same reason
    await waitAtMost(STOP_MS, over);
    throw error;
  }
}

/** Finds the point where a run is to go on; returns nothing where the run begins. */
async function resumePointOf(
  resume: string | undefined,
  from: string | undefined,
): Promise<string | undefined> {
  if (resume !== undefined) return await resumePoint(resume, from);
  if (from === undefined) return undefined;
  throw new UsageError(`from is "${from}", a checkpoint of a run to resume: name the run, too`);
}

/** Starts workers and trains from a position on; the position is updated as training goes on. */
async function trainWithWorkers(
  parts: Omit<RunContext, "cluster">,
  position: Position,
  watched: Reporter,
): Promise<void> {
  const { run, events, watch, reporter, signal, effort, folder } = parts;
  const { config, replica, natsServer } = run;
  using cache = openRunCache(config, run.dataset, watched);
  await using cluster = await Cluster.assemble({
    ...clusterSettings(config, natsServer),
    job: jobJson(run.job),
    exchange: exchangeSettings(config, replica.state),
    ...(cache ? { cache: cache.address } : {}),
    reporter: watched,
    signal,
  });
  events.append("joined", { workers: cluster.workers, server: cluster.server });
  await effort.attempt(ENVIRONMENT_FILE, () => recordServer(folder, cluster.server));
  watch.listenTo(() => cluster.heartbeats(), () => cluster.refused());
  await cluster.callAll(WORKER_COMMANDS.loadState, null, {
    payload: replica.state.exportState().bytes,
    signal,
  });
  await runEpochs({ ...parts, cluster }, position);
  if (cache) reporter.info(cache.report());
}

/** Completes the work after the last epoch, which a killed run may not have done. */
async function catchUp(
  { run: { config }, folder, history, record, events, effort }: Omit<
    RunContext,
    "cluster" | "callbacks" | "signal"
  >,
  { isOver }: Resumed,
): Promise<void> {
  const { earlyStopping, epochs } = config.train;
  const last = history.epochs.at(-1);
  if (isOver && last && last.epoch < epochs) {
    const reason = earlyStopping && earlyStopReason(earlyStopping, history.epochs);
    const step = history.validations.at(-1)?.step ?? 0;
    if (reason) history.stopped = { epoch: last.epoch, step, reason };
  }
  await record.save(history);
  if (!last) return;
  const logged = await effort.attempt(EVENTS_FILE, () => readEvents(folder));
  if (!logged) return;
  const known = standingEvents(logged);
  const told = new Set(known.map(({ type, epoch }) => `${type} ${epoch}`));
  for (const each of history.epochs) {
    if (!told.has(`epoch ${each.epoch}`)) events.append("epoch", { ...each });
  }
  const { stopped } = history;
  if (stopped && !told.has(`stopped ${stopped.epoch}`)) events.append("stopped", stopped);
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

/** The loggers of the config, and those that the caller brings. */
function loggersOf({ loggers }: Config, { loggers: more = [] }: TrainOptions): NamedLogger[] {
  const chosen = (Object.keys(LOGGERS) as LoggerName[]).filter((name) => loggers[name]);
  return [
    ...chosen.map((name) => ({ name: LOGGERS[name].title, open: LOGGERS[name].open })),
    ...more.map((open, index) => ({ name: open.name || `${index + 1}th`, open })),
  ];
}

/** Records the images with which a resumed run goes on. */
async function followPictures(
  { run, reporter, folder, history }: Pick<
    RunContext,
    "run" | "reporter" | "folder" | "history"
  >,
  changes: FileChanges,
  position: Position,
): Promise<void> {
  const { root, files } = run.dataset;
  const isOther = hasOtherImages(changes);
  if (isOther) {
    reporter.warn(
      `The run goes on with other images, as was accepted: ${
        describeFileChanges(changes)
      }. In an epoch that was ` +
        "begun before, some may be seen twice or not at all",
    );
    await saveLast(folder, run, { position, history }, { keepPrevious: false });
  }
  if (files && (isOther || changes.touched > 0)) await writeFileRecord(folder, root, files);
}

/** Updates checkpoint, `config.yaml` and history of a resumed run to its changed config. */
async function followChanges(
  { run, reporter, folder, history, record }: Pick<
    RunContext,
    "run" | "reporter" | "folder" | "history" | "record"
  >,
  changed: ResumedConfig,
  { position, place }: { position: Position; place: Position },
): Promise<void> {
  const { config, plan } = run;
  for (const note of resumeNotes(changed, config, plan.stepsPerEpoch)) reporter.info(note);
  recordChanges(history, changed, config, position);
  if (changed.changes.length === 0) {
    // From now on checkpoints have absolute paths, whichever folder the next resume starts in.
    if (await keepsTypedPaths(join(folder, "config.yaml"))) await writeConfig(folder, config);
    return;
  }
  await saveLast(folder, run, { position: place, history }, { keepPrevious: false });
  await writeConfig(folder, config);
  await record.save(history);
}

/** Writes `config.yaml`, which a run can't be resumed without. */
async function writeConfig(folder: string, config: Config): Promise<void> {
  const header =
    `# The config of this run with every default filled in (Lockstep ${LOCKSTEP_VERSION}).\n`;
  await writeFileAtomically(join(folder, "config.yaml"), header + stringify(config));
}

/** Returns the information that loggers get at the beginning. */
function loggerStart(
  folder: string,
  run: PreparedRun,
  position: Position,
  history: History | undefined,
): LoggerStart {
  const { config, dataset: { classes }, plan: { stepsPerEpoch } } = run;
  const steps = ({ epoch, step }: { epoch: number; step: number }) =>
    (epoch - 1) * stepsPerEpoch + step;
  const step = steps(position);
  const begin = { folder, config, classes, stepsPerEpoch, step };
  if (!history) return begin;
  const { epochs, losses, validations } = history;
  const validated = validations.some((point) => steps(point) === step);
  return { ...begin, resumed: { epochs: epochs.length, points: losses.length, validated } };
}

/** Writes the files that precede the first step; the checkpoint comes last, as with it the run has begun. */
async function writeStart(
  { folder, run, history, record, watch, effort }: Pick<
    RunContext,
    "folder" | "run" | "history" | "record" | "watch" | "effort"
  >,
): Promise<void> {
  const { config, engine } = run;
  const environment = await describeEnvironment({
    workers: config.workers,
    threadsPerWorker: workerThreads(config.engine.threadsPerWorker, config.workers),
    devices: engine.devices.map(({ name }) => name.replace(/^.*device:/, "")),
    tensorflow: engine.tensorflowVersion,
  });
  await effort.attempt(ENVIRONMENT_FILE, () => writeEnvironment(folder, environment));
  const drawBatch = await readBatch(run, 1);
  await effort.attempt("batch.png", () => drawBatch(folder));
  await watch.image("batch", 0);
  const { root, files } = run.dataset;
  if (files) await effort.attempt(FILE_RECORD, () => writeFileRecord(folder, root, files));
  await record.save(history);
  await saveLast(folder, run, { position: startPosition(), history });
}

/** `GPU` when TensorFlow sees one, else `CPU`. */
function deviceOf({ devices }: PreparedRun["engine"]): string {
  return devices.some(({ name }) => name.includes("GPU")) ? "GPU" : "CPU";
}

/** Tells what is about to be trained. */
function announce({ config, engine, dataset, replica }: PreparedRun, reporter: Reporter): void {
  const { workers, model, train } = config;
  const threads = workerThreads(config.engine.threadsPerWorker, workers);
  reporter.info(
    `Lockstep ${LOCKSTEP_VERSION}, TensorFlow ${engine.tensorflowVersion}: ` +
      `${counted(workers, "worker")} with ${counted(threads, "thread")} each, on ${
        deviceOf(engine)
      }`,
  );
  reporter.info(
    `Data: ${counted(dataset.train.length, "training image")}, ` +
      `${dataset.val.length} for validation, ${dataset.classes.length} classes ` +
      `(${listed(dataset.classes, { max: MAX_NAMES })})`,
  );
  const shares = describeShares(config);
  if (shares?.isWarning) reporter.warn(shares.text);
  else if (shares) reporter.info(shares.text);
  const { trainable } = replica.state;
  const learned = trainable.reduce((sum, { variable }) => sum + variable.size, 0);
  const names = trainable.map(({ name, torchShape }) => `  ${name} [${torchShape.join(", ")}]`);
  reporter.info(
    `Model: ${model.name}${
      model.module ? ` (${model.module})` : ""
    }, ${train.optimizer} with learning rate ${train.lr}; ` +
      `${counted(trainable.length, "parameter")} to learn (${groupThousands(learned)} values):`,
  );
  reporter.info(names.join("\n"));
}

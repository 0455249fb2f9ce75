/**
 * The life of a run, from preparation to the last record.
 *
 * @module
 */
import { recorded } from "../base/step_key.ts";
import { orAborted, waitAtMost } from "../base/async.ts";
import {
  asLockstepError,
  InterruptedError,
  LockstepError,
  messageOf,
  SystemError,
} from "../base/errors.ts";
import { shownPath } from "../base/file_path.ts";
import { given } from "../base/given.ts";
import { interruptedBy } from "../base/interruption.ts";
import { Cluster, type ExchangingCluster, failedRank } from "../cluster/cluster.ts";
import { AllWorkersLostError } from "../cluster/recover.ts";
import { recovering } from "../cluster/recovering.ts";
import { checkConfig } from "../config/checks.ts";
import type { LoadedConfig } from "../config/schema.ts";
import { type Reporter, silentReporter, type Summary } from "../events/reporter.ts";
import { emittingReporter } from "../events/reporters.ts";
import type { RunEvent } from "../events/run_events.ts";
import { loadCheckpoint, type LoadedCheckpoint } from "../inference/load_checkpoint.ts";
import type { OpenLogger } from "../loggers/logger.ts";
import { WORKER_COMMANDS } from "../protocol/worker_commands.ts";
import type { Reply } from "../protocol/command_channel.ts";
import { ENVIRONMENT_FILE, recordDevices, recordServer } from "../records/environment.ts";
import { type History, HISTORY_FILE } from "../records/history.ts";
import { type LiveRegistration, registerLive } from "../records/live_runs.ts";
import { type Prediction, readPredictions } from "../records/predictions.ts";
import { pointLatest } from "../records/run_folder.ts";
import { openCacheFolder } from "../train/cache_folder.ts";
import { openedWorkerSchema } from "../train/command_schemas.ts";
import { jobJson } from "../train/job.ts";
import { announce } from "./preparation/announce.ts";
import { CallbackRunner, type Callbacks } from "./callbacks.ts";
import {
  clusterSettings,
  exchangeSettings,
  serverSettings,
} from "./preparation/cluster_settings.ts";
import { openHostData } from "./preparation/host_data.ts";
import { hostsSettings } from "./preparation/hosts_settings.ts";
import { compileKernels } from "./preparation/compile_kernels.ts";
import { decideDevices, type DecidedRun } from "./preparation/decide_devices.ts";
import { type OpenRun, openRun, RunStream } from "./open_run.ts";
import { limitRows } from "./preparation/limit_rows.ts";
import { type PreparedRun, prepareRun } from "./preparation/prepare.ts";
import { BackToCheckpoint, Recoveries } from "./recoveries.ts";
import { catchUp, followRestored } from "./resume_records.ts";
import { hasOtherImages, recordOfFileChanges } from "./state/resumed_data.ts";
import { openRunCache } from "./preparation/run_cache.ts";
import { shareSamples } from "./preparation/share_samples.ts";
import { checkDashboard } from "./run_dashboard.ts";
import { writeConfig, writeStart } from "./run_files.ts";
import { keepWorkers } from "./state/keep_workers.ts";
import { type RestoredRun, RunOrigin } from "./state/run_origin.ts";
import { bestPath } from "./state/run_state.ts";
import { DivergenceWatch } from "./epochs/divergence.ts";
import { SkippedImages } from "./epochs/skipped_images.ts";
import { SkippedSteps } from "./epochs/skipped_steps.ts";
import { requireBest, runEpochs } from "./training.ts";

/** Milliseconds that an interrupted preparation gets to finish. */
const STOP_MS = 1_000;

/** Options of a training run. */
export interface TrainOptions extends Callbacks {
  /** Listens to the run; no output unless given. */
  readonly reporter?: Reporter;
  /**
   * Folder of a run to resume from its `checkpoints/last`. A run that ended before its first checkpoint starts
   * over. For a run that was killed after its last epoch, the remaining work is completed.
   */
  readonly resume?: string | undefined;
  /** Another checkpoint of that run, such as `last-1`; later records of the run are removed. */
  readonly from?: string | undefined;
  /**
   * Keys of the config, such as `train.lr`, that may differ from those of the resumed run. Keys of place and
   * display (`workers`, `data.root`, `dashboard` and the like) may always differ, and `train.epochs` may grow.
   */
  readonly overridden?: readonly string[];
  /** Lets a resumed run continue with images that were changed, added or removed. */
  readonly acceptData?: boolean;
  /** Loggers that get the run's metrics, in addition to those of the config. */
  readonly loggers?: readonly OpenLogger[];
  /** The folder of a new run, made when missing; by default a new folder below `out`. */
  readonly folder?: string;
  /**
   * A notice shown at the start and kept in `run.log`: the parts of the config file that the command line
   * replaced.
   */
  readonly notes?: readonly string[];
  /** Lets TensorFlow print its log messages. */
  readonly verbose?: boolean | undefined;
  /**
   * Ends the run at the next step, with a checkpoint and an `InterruptedError` whose cause is the signal's
   * reason.
   */
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
  /** Reads `predictions.csv`: the predictions of those weights for each validation image that could be read. */
  readonly loadPredictions: () => Promise<Prediction[]>;
}

/**
 * Trains by a config: prepares, starts broker and workers, trains and validates epoch by epoch, and leaves a
 * folder with checkpoints, history and plots.
 *
 * @param config A validated config, see `loadConfig`
 * @throws {UsageError} for an error found before the start
 * @throws {LockstepError} for failures during the run; the last checkpoint stays complete
 * @throws {InterruptedError} after an orderly stop by `options.signal`
 */
export async function train(
  config: LoadedConfig,
  options: TrainOptions = {},
): Promise<TrainResult> {
  using interruption = interruptedBy(options.signal);
  return await trainUntil(config, { ...options, signal: interruption.signal });
}

/** {@linkcode train}, with a signal whose reason is an interruption. */
async function trainUntil(loaded: LoadedConfig, options: TrainOptions): Promise<TrainResult> {
  const recoveries = new Recoveries(loaded);
  const { signal, reporter } = options;
  using live = await registerLive({ kind: "train", name: loaded.name }, {
    signal,
    onProblem: (problem) => reporter?.warn(problem),
  });
  using held = new DisposableStack();
  let decided: DecidedRun | undefined;
  // A run that comes back computes on the devices of before, and on nothing else where they are gone.
  const decide = async () =>
    decided ??= held.use(await decideDevices(await keepWorkers(loaded, options.resume)));
  for (let own = options;;) {
    try {
      return await trainOnce(loaded, own, { recoveries, decide, live });
    } catch (error) {
      if (!(error instanceof BackToCheckpoint)) throw error;
      recoveries.allLost();
      const { folder: _folder, from: _from, notes: _notes, ...others } = options;
      own = { ...others, resume: error.folder };
    }
  }
}

/** Trains until the run is over, or all of its workers are lost. */
async function trainOnce(
  loaded: LoadedConfig,
  options: TrainOptions,
  { recoveries, decide, live }: {
    readonly recoveries: Recoveries;
    readonly decide: () => Promise<DecidedRun>;
    readonly live: LiveRegistration;
  },
): Promise<TrainResult> {
  const { verbose, signal } = options;
  const begun = performance.now();
  const stream = new RunStream(options.reporter ?? silentReporter());
  const reporter = emittingReporter(stream.events, { keepsWarnings: false });
  checkConfig(loaded);
  options.notes?.forEach(reporter.info);
  await checkDashboard(loaded);
  const decided = await decide();
  const { config } = decided;
  using origin = await RunOrigin.find(config, options, reporter);
  const resuming = origin.continuation !== undefined;
  const usableIn = origin.usableIn(config);
  const run = await preparedUnlessAborted(decided, {
    ...{ reporter, verbose, signal, resuming, usableIn },
  });
  using _model = run.replica;
  using _images = run.dataset.source;
  announce(run, reporter);
  const restored = await origin.restore(run);
  const folder = await origin.openFolder(config);
  if (!restored) await writeConfig(folder, config);
  const { loggers = [] } = options;
  await using open = await openRun(stream, run, folder, { restored, loggers });
  live.update({ folder: await Deno.realPath(folder), ...given("dashboard", open.dashboard) });
  try {
    await begin(open, origin, restored);
    signal?.throwIfAborted();
    if (restored) await catchUp(open, restored.resumed);
    if (restored?.resumed.isOver) {
      requireBest(open);
      reporter.info("All epochs are on record: the end of the run is completed");
    } else await trainWithWorkers(open, options, recoveries);
    await finish(open, begun);
  } catch (error) {
    if (error instanceof AllWorkersLostError && !signal?.aborted) {
      await open.events.settled();
      throw new BackToCheckpoint(folder, error);
    }
    throw await fail(open, begun, { error, signal });
  }
  return resultOf(open);
}

/**
 * Prepares a run. When the signal fires, waits briefly for the preparation to end, and releases the resources
 * that it still returns.
 */
async function preparedUnlessAborted(
  decided: DecidedRun,
  options: Parameters<typeof prepareRun>[1],
): Promise<PreparedRun> {
  const preparing = prepareRun(decided, options);
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

/** Writes the first records of a new run, or updates the records of a resumed one. */
async function begin(
  open: OpenRun,
  origin: RunOrigin,
  restored: RestoredRun | undefined,
): Promise<void> {
  const { run: { config }, folder, events, watch, position } = open;
  if (!restored) {
    if (origin.startsOver) {
      events.info("The run ended before its first checkpoint: it starts over");
    }
    await writeStart(open);
  }
  if (origin.named === undefined) await pointLatest(config.out, folder);
  events.info(`Run folder: ${shownPath(folder)}`);
  events.emit({
    type: restored ? "resumed" : "started",
    ...recorded(position),
    ...factsOf(restored),
  });
  if (restored) await followRestored(open, restored);
  if (position.pending) watch.restore(position.pending);
  delete position.pending; // the watch has it now
  if (restored?.resumed.warning) events.warn(restored.resumed.warning);
}

/** Returns the details of a resume for the event `resumed`. */
function factsOf(restored: RestoredRun | undefined) {
  if (!restored) return {};
  const { from, changed: { changes }, images } = restored;
  return {
    ...(from === "last" ? {} : { from }),
    ...(changes.length > 0 ? { changes } : {}),
    ...(images && hasOtherImages(images) ? { data: recordOfFileChanges(images) } : {}),
  };
}

/** Starts workers and trains from the run's position. */
async function trainWithWorkers(
  open: OpenRun,
  { signal, ...callbacks }: TrainOptions,
  recoveries: Recoveries,
): Promise<void> {
  const { run, events } = open;
  const { config, replica, natsServer, listening, layout, devices, engine: { libraryPath } } = run;
  const reporter = emittingReporter(events, { keepsWarnings: true });
  const { job, plan: { training, validation } } = run;
  const batches = { train: training.globalBatch, val: validation.globalBatch };
  await compileKernels({ devices, libraryPath, job, batches }, { reporter, signal });
  await using hostData = await openHostData(run, signal);
  using cache = openRunCache(config, run.dataset, reporter);
  using samples = shareSamples(run.dataset, reporter);
  using kept = await openCacheFolder(config, run.dataset, reporter);
  let lastFallback: string | undefined;
  const tellOfFallback = ([{ result }]: readonly Reply[]) => { // all ranks agree on it
    const { exchange: { fallback } } = openedWorkerSchema.parse(result);
    if (fallback !== undefined && fallback !== lastFallback) reporter.warn(fallback);
    lastFallback = fallback;
  };
  await using cluster = await Cluster.assemble({
    ...clusterSettings(
      config,
      serverSettings(config.nats, natsServer, listening),
      { devices, libraryPath },
      layout[0],
    ),
    hosts: await hostsSettings(run, hostData),
    jobElsewhere: jobJson(run.job),
    job: jobJson({
      ...run.job,
      ...(samples ? { samples: samples.place } : {}),
      ...(kept ? { cacheFolder: kept.place } : {}),
    }),
    ...(kept ? { writableFolder: kept.place.folder } : {}),
    exchange: exchangeSettings(config, replica.state),
    ...(cache ? { cache: cache.address } : {}),
    recovery: {
      ...recoveries.optionsFor(open),
      limitRows: (workers, devices) => {
        const limit = limitRows(run, workers, devices);
        if (limit) reporter.warn(limit.note);
        return limit?.mostRows;
      },
      onOpened: tellOfFallback,
    },
    isComeback: recoveries.areAllLost,
    reporter,
    signal,
  });
  try {
    await trainOn(cluster, open, { recoveries, tellOfFallback, signal, ...callbacks });
  } catch (error) {
    cluster.noteFailure(error);
    throw error;
  }
  if (cache) events.info(cache.report());
  if (kept) events.info(kept.report());
  const cacheProblem = kept?.problem();
  if (cacheProblem) events.emit({ type: "warning", message: cacheProblem, kept: false });
}

/** Trains on workers that have joined. */
async function trainOn(
  cluster: ExchangingCluster,
  open: OpenRun,
  { recoveries, tellOfFallback, signal, ...callbacks }: TrainOptions & {
    readonly recoveries: Recoveries;
    readonly tellOfFallback: (replies: readonly Reply[]) => void;
  },
): Promise<void> {
  const { run, events, watch, effort, folder, position } = open;
  const { replica } = run;
  const reporter = emittingReporter(events, { keepsWarnings: true });
  events.emit({ type: "joined", workers: cluster.workers, server: cluster.server });
  await effort.attempt(ENVIRONMENT_FILE, () => recordServer(folder, cluster.server));
  watch.listenTo(() => cluster.heartbeats(), () => cluster.refused());
  const payload = await replica.state.exportState();
  const opened = await recovering(cluster, async () => {
    const replies = await cluster.openExchange(signal);
    await cluster.callAll(WORKER_COMMANDS.loadState, null, { payload, signal });
    return replies;
  }, signal);
  recoveries.cameBack(open, cluster.workers.length);
  const openedWorkers = opened.map(({ result }) => openedWorkerSchema.parse(result));
  tellOfFallback(opened);
  const workerDevices = openedWorkers.map(({ device }) => device);
  events.emit({ type: "devices", devices: workerDevices });
  await effort.attempt(ENVIRONMENT_FILE, () => recordDevices(folder, workerDevices));
  const skipped = new SkippedImages({
    warn: (message) => events.emit({ type: "warning", message, kept: false }),
    skipped: (image) => events.emit({ type: "skipped", ...image }),
  });
  const skippedSteps = new SkippedSteps(run, events);
  await runEpochs({
    ...{ ...open, cluster, reporter, callbacks: new CallbackRunner(callbacks), signal },
    ...{ skipped, skippedSteps, divergence: new DivergenceWatch() },
  }, position);
}

/** Completes the history and reports that the run is finished. */
async function finish(open: OpenRun, begun: number): Promise<void> {
  const { history, record, saved, events } = open;
  const { seconds, bestEpoch: epoch, bestAccuracy: accuracy } = summaryOf(open, begun);
  await saved.attempt(HISTORY_FILE, "the end", () => record.finish(history));
  saved.requireAll();
  const report = await emitEnd(open, { type: "finished", seconds, best: { epoch, accuracy } });
  events.emit({ type: "summary", summary: { ...summaryOf(open, begun), ...report } });
}

/** Records why a run ends early; returns the error to throw. */
async function fail(
  open: OpenRun,
  begun: number,
  { error: thrown, signal }: { error: unknown; signal: AbortSignal | undefined },
): Promise<unknown> {
  const { history, record, saved, events, effort } = open;
  const sentence = asLockstepError(thrown);
  // A worker or a server that received the same signal has not failed.
  const isLoss = sentence instanceof LockstepError && !(sentence instanceof SystemError);
  const error = isLoss && signal?.aborted ? signal.reason : sentence;
  const rank = failedRank(error);
  if (rank !== undefined) events.emit({ type: "workerFailed", rank });
  await effort.attempt(HISTORY_FILE, () => record.finish(history));
  const interrupted = error instanceof InterruptedError;
  if (interrupted) saved.warnOfMissing();
  const type = interrupted ? "interrupted" : "failed";
  const report = await emitEnd(open, { type, message: messageOf(error) });
  if (interrupted) {
    const summary = { ...summaryOf(open, begun), interrupted, ...report };
    events.emit({ type: "summary", summary });
  } else if (report.report !== undefined) events.info(`Report: ${shownPath(report.report)}`);
  return error;
}

/** Emits the last event of a run; returns the path of the report that a listener writes in response. */
async function emitEnd(
  { events, reports }: OpenRun,
  event: RunEvent,
): Promise<{ report?: string }> {
  events.emit(event);
  await events.settled();
  return reports.path === undefined ? {} : { report: reports.path };
}

function summaryOf({ history: { best }, folder }: OpenRun, begun: number): Summary {
  return {
    seconds: (performance.now() - begun) / 1000,
    bestAccuracy: best.accuracy,
    bestEpoch: best.epoch,
    folder,
  };
}

function resultOf({ folder, history, run: { config } }: OpenRun): TrainResult {
  return {
    folder,
    history,
    loadBest: () => loadCheckpoint(bestPath(folder), config.model),
    loadPredictions: () => readPredictions(folder),
  };
}

/**
 * State of a run: written to its folder during the run, and read from there when the run is resumed.
 *
 * @module
 */
import { counted } from "../../base/format.ts";
import { giving } from "../../base/invocation.ts";
import { join } from "node:path";
import { UsageError } from "../../base/errors.ts";
import { exists } from "../../base/paths.ts";
import { pointOf, recorded, type RunPoint } from "../../base/step_key.ts";
import type { Config } from "../../config/schema.ts";
import { differentClasses } from "../../data/class_names.ts";
import { earlyStopReason } from "../../metrics/monitor.ts";
import { type History, HISTORY_FILE, readHistory } from "../../records/history.ts";
import {
  type Checkpoint,
  type CheckpointFacts,
  type CheckpointInfo,
  type PendingSums,
  readCheckpoint,
  writeCheckpoint,
} from "../../checkpoint/checkpoint.ts";
import { cleanCheckpoints, pruneCheckpoints } from "../../checkpoint/checkpoint_names.ts";
import { batchCountsOf } from "../../models/batch_counts.ts";
import { architectureOf, inputSizeOf } from "../../train/build_replica.ts";
import {
  optimizerStateOf,
  setOptimizerState,
  setState,
  stateOf,
} from "../../train/load_weights.ts";
import { differentModules } from "../../train/modules.ts";
import type { EpochLossScale, NonFiniteCounts } from "../../train/step_judge.ts";
import { cutHistory } from "./cut_history.ts";
import type { EpochTotals } from "../epochs/drive_epoch.ts";
import { checkHistoryMark, historyMark } from "./history_mark.ts";
import type { PreparedRun } from "../preparation/prepare.ts";
import { checkResumedBest } from "./resumed_best.ts";
import { CHECKPOINTS, isComplete, RunCompleteError } from "./resume_point.ts";

/** A point of a run, and the sums up to that point. */
export interface Position extends RunPoint {
  epoch: number;
  stepsDone: number;
  /** Optimizer steps of the whole run. */
  optimizerSteps: number;
  /** Training totals of the epoch so far. */
  totals: EpochTotals;
  /** Seconds that the epoch has taken so far. */
  seconds: number;
  /** Sums of the steps since the last point of the training loss, if there are any. */
  pending?: PendingSums;
  /** The loss scale after the steps so far, where losses are scaled. */
  lossScale?: EpochLossScale;
  /** The steps that were skipped so far, where such as are not finite may be. */
  nonFinite?: NonFiniteCounts;
}

/** The place before the first step. */
export function startPosition(): Position {
  return {
    epoch: 1,
    stepsDone: 0,
    optimizerSteps: 0,
    totals: { lossSum: 0, weight: 0, correct: 0, count: 0 },
    seconds: 0,
  };
}

/** The place before the first step of the epoch that follows a given place. */
export function nextEpoch(
  { epoch, optimizerSteps, pending, lossScale, nonFinite }: Position,
): Position {
  const sums = pending ? { pending } : {};
  const scale = lossScale ? { lossScale: { ...lossScale, skippedSteps: 0 } } : {};
  const counts = nonFinite ? { nonFinite: { ...nonFinite, ofEpoch: 0 } } : {};
  return { ...startPosition(), epoch: epoch + 1, optimizerSteps, ...sums, ...scale, ...counts };
}

/**
 * Writes `checkpoints/last`: model and optimizer from the coordinator's replica, and a mark of the history.
 *
 * @param keepPrevious Keep the previous one as `last-1`
 */
export async function saveLast(
  folder: string,
  run: PreparedRun,
  { position, history }: { position: Position; history: History },
  { keepPrevious = true } = {},
): Promise<void> {
  const { state } = run.replica;
  const model = modelState(run);
  const optimizer = await optimizerStateOf(state);
  const averages = state.hasAverages ? await state.withAverages(() => modelState(run)) : undefined;
  await writeCheckpoint(
    join(folder, CHECKPOINTS),
    "last",
    { ...factsOf(run, position), history: historyMark(history, recorded(position)) },
    { model, optimizer, ...(averages ? { averages } : {}) },
    { keepPrevious },
  );
}

/** The present weights, with the batches of BatchNorm's statistics. */
function modelState({ replica: { model, state } }: PreparedRun) {
  return stateOf(state.parameters, batchCountsOf(model));
}

/** Writes a checkpoint of the model alone, with EMA weights if the run keeps them. */
export async function saveWeights(
  folder: string,
  run: PreparedRun,
  { name, position, accuracy }: {
    /** `best`, or `epoch-<number>`. */
    name: string;
    position: Position;
    accuracy: number;
  },
): Promise<void> {
  const model = await run.replica.state.withAverages(() => modelState(run));
  const facts = { ...factsOf(run, position), accuracy };
  await writeCheckpoint(join(folder, CHECKPOINTS), name, facts, { model });
}

/** Removes the oldest checkpoints `epoch-<number>`, if only some are to be kept. */
export async function pruneEpochs(folder: string, keep: number | undefined): Promise<void> {
  if (keep !== undefined) await pruneCheckpoints(join(folder, CHECKPOINTS), "epoch", keep);
}

/** Path of a checkpoint. */
export function checkpointPath(folder: string, name: string): string {
  return join(folder, CHECKPOINTS, name);
}

/** Path of the best checkpoint. */
export function bestPath(folder: string): string {
  return join(folder, CHECKPOINTS, "best");
}

/** The state from which a resumed run starts. */
export interface Resumed {
  /** The position from which the run continues. */
  readonly position: Position;
  /** The position of the run's checkpoint: the same, or the end of the previous epoch. */
  readonly place: Position;
  readonly history: History | undefined;
  /** True when all epochs are recorded, so that only the work after the last epoch remains. */
  readonly isOver: boolean;
  /** Warning that names the lost parts of the run. */
  readonly warning?: string;
}

/**
 * Restores the state of a run from a checkpoint, and its history up to that checkpoint.
 *
 * A checkpoint other than `last` becomes `last` before any record of the run is cut back. A process that is
 * killed in between therefore leaves a run that can be resumed.
 *
 * @param name Name of the checkpoint, see `resumePoint`
 * @throws {UsageError} when the checkpoint is damaged, or belongs to another model or other data
 * @throws {RunCompleteError} when no work is left
 */
export async function resume(
  folder: string,
  run: PreparedRun,
  name: string,
  { acceptData = false } = {},
): Promise<Resumed> {
  const path = checkpointPath(folder, name);
  const checkpoint = await readCheckpoint(path);
  refuseOther(path, checkpoint, run, acceptData);
  const { info } = checkpoint;
  const position: Position = {
    ...pointOf(info),
    optimizerSteps: info.optimizerSteps,
    totals: { ...info.train },
    seconds: info.seconds,
    ...(info.pending ? { pending: info.pending } : {}),
    ...(info.lossScale ? { lossScale: info.lossScale } : {}),
    ...(info.nonFinite ? { nonFinite: info.nonFinite } : {}),
  };
  const { config, plan: { stepsPerEpoch } } = run;
  const history = await historyUpTo(folder, { config, stepsPerEpoch }, info);
  const over = history && overReason(history, run.config);
  if (over && await isComplete(folder)) {
    throw new RunCompleteError(`The run ${folder} has ${over}`);
  }
  await takeOver(checkpoint, path, run);
  await cleanCheckpoints(join(folder, CHECKPOINTS));
  if (name !== "last" && history) {
    await saveLast(folder, run, { position, history }, { keepPrevious: false });
  }
  const warning = history && await checkResumedBest(join(folder, CHECKPOINTS), history);
  const isRecorded = history?.epochs.some(({ epoch }) => epoch === position.epoch);
  return {
    position: isRecorded ? nextEpoch(position) : { ...position },
    place: position,
    history,
    isOver: over !== undefined,
    ...(warning ? { warning } : {}),
  };
}

/** Sets the replica's parameters, optimizer state and averages. */
async function takeOver(
  { model, optimizer, averages }: Checkpoint,
  path: string,
  { replica }: PreparedRun,
): Promise<void> {
  setState(replica.model, model, path);
  if (optimizer) await setOptimizerState(replica.state, optimizer, path);
  if (averages) {
    await replica.state.withAverages(() => void setState(replica.model, averages, path));
  }
}

/**
 * Reads the history of a run and cuts it back to a checkpoint.
 *
 * @param place The checkpoint's place, with its mark of the history if it has one
 * @returns `undefined` if no history was written yet, which is possible only in the first epoch
 * @throws {UsageError} when the history is missing, was cut, or belongs to another run
 */
export async function historyUpTo(
  folder: string,
  { config, stepsPerEpoch }: { config: Config; stepsPerEpoch: number },
  { epoch, step, history: mark }: Pick<CheckpointInfo, "epoch" | "step" | "history">,
): Promise<History | undefined> {
  if (!await exists(join(folder, HISTORY_FILE))) {
    if (epoch === 1 && (mark?.losses ?? 0) + (mark?.validations ?? 0) === 0) return undefined;
    throw new UsageError(
      `The run ${folder} has no ${HISTORY_FILE}, but its checkpoint stands in epoch ${epoch}: restore the file, or ` +
        "start a new run with the checkpoint's weights (--weights)",
    );
  }
  const history = await readHistory(folder);
  if (mark) checkHistoryMark(history, mark, { epoch, step });
  const { monitor: metric, mode } = config.checkpoint;
  const monitor = { metric, ...(mode ? { mode } : {}) };
  cutHistory(history, { epoch, step, stepsPerEpoch, monitor });
  delete history.stopped; // a program may have said stop, and now says go on
  return history;
}

/** Returns the reason why no epoch is left to train, worded to follow "The run has". */
function overReason({ epochs }: History, { train }: PreparedRun["config"]): string | undefined {
  if (epochs.length >= train.epochs) {
    const all = counted(train.epochs, "epoch");
    const more = giving("train.epochs", `${train.epochs + 1}`);
    return `finished its ${all}: nothing is left to resume` +
      (more ? `; to train more, raise their number (${more})` : "");
  }
  const stopped = train.earlyStopping && earlyStopReason(train.earlyStopping, epochs);
  return stopped &&
    `stopped early, as ${stopped}: nothing is left to resume; to train on from its weights, ` +
      "start a new run with --weights";
}

function factsOf({ config, dataset, job, plan }: PreparedRun, position: Position): CheckpointFacts {
  const { optimizerSteps, totals, seconds, pending, lossScale, nonFinite } = position;
  return {
    model: {
      name: config.model.name,
      numClasses: dataset.classes.length,
      ...modelShape(config),
      ...userModel(config, job),
    },
    classes: dataset.classes,
    ...recorded(position),
    globalBatch: plan.globalBatch,
    optimizerSteps,
    train: totals,
    seconds,
    ...(pending ? { pending } : {}),
    ...(lossScale ? { lossScale } : {}),
    ...(nonFinite ? { nonFinite } : {}),
    fingerprint: job.fingerprint,
    config,
    ...(Object.keys(job.modules ?? {}).length > 0 ? { modules: job.modules } : {}),
  };
}

/** Returns a checkpoint's facts about a user-defined network. */
function userModel(
  config: PreparedRun["config"],
  { modules }: PreparedRun["job"],
): Partial<CheckpointFacts["model"]> {
  const { module } = config.model;
  if (!module) return {};
  return { module, moduleSha256: modules?.["model.module"], inputSize: inputSizeOf(config) };
}

/** Returns the dimensions of the network that the config leaves open, in the checkpoint's form. */
function modelShape(config: PreparedRun["config"]): Partial<CheckpointFacts["model"]> {
  const { head, ...shape } = architectureOf(config);
  return { ...shape, ...(head ? { head: [...head] } : {}) };
}

function refuseOther(
  path: string,
  { info, optimizer }: Checkpoint,
  run: PreparedRun,
  acceptData: boolean,
): void {
  const { config, dataset, job, plan } = run;
  const differences = [
    differs("model", info.model.name, config.model.name),
    differentClasses(info.classes, dataset.classes),
    acceptData
      ? ""
      : differs("data fingerprint", info.fingerprint.slice(0, 12), job.fingerprint.slice(0, 12)),
    differs("global batch", String(info.globalBatch), String(plan.globalBatch)),
    optimizer ? "" : "it has no optimizer state",
    ...differentModules(info.modules ?? {}, job.modules ?? {}),
  ].filter((difference) => difference !== "");
  if (differences.length === 0) return;
  throw new UsageError(
    `${path} doesn't fit this run: ${
      differences.join("; ")
    }. Bring back what it was trained with, or ` +
      "start a new run with its weights (--weights)",
  );
}

function differs(what: string, saved: string, present: string): string {
  return saved === present ? "" : `its ${what} is "${saved}", here it is "${present}"`;
}

/**
 * Where a run stands: what is written to its folder as it goes on, and read from there when it is resumed.
 *
 * @module
 */
import { join } from "node:path";
import { UsageError } from "../base/errors.ts";
import { exists } from "../base/paths.ts";
import { globalBatchSize } from "../config/checks.ts";
import { earlyStopReason } from "../metrics/monitor.ts";
import { type History, HISTORY_FILE, readHistory } from "../records/history.ts";
import {
  type Checkpoint,
  type CheckpointFacts,
  readCheckpoint,
  writeCheckpoint,
} from "../train/checkpoint.ts";
import { cleanCheckpoints, pruneCheckpoints } from "../train/checkpoint_names.ts";
import { batchCountsOf } from "../models/batch_counts.ts";
import { architectureOf, inputSizeOf } from "../train/build_replica.ts";
import { optimizerStateOf, setOptimizerState, setState, stateOf } from "../train/load_weights.ts";
import { differentModules } from "../train/modules.ts";
import type { Totals } from "./epochs.ts";
import type { PreparedRun } from "./prepare.ts";

/** A place in a run. */
export interface Position {
  /** Counted from 1. */
  epoch: number;
  /** Steps of the epoch that are done. */
  step: number;
  /** Optimizer steps of the whole run. */
  optimizerSteps: number;
  /** Training totals of the epoch so far. */
  totals: Totals;
  /** Seconds that the epoch has taken so far. */
  seconds: number;
}

const CHECKPOINTS = "checkpoints";

/** The place before the first step. */
export function startPosition(): Position {
  return {
    epoch: 1,
    step: 0,
    optimizerSteps: 0,
    totals: { lossSum: 0, weight: 0, correct: 0, count: 0 },
    seconds: 0,
  };
}

/** The place before the first step of the epoch after a place's. */
export function nextEpoch({ epoch, optimizerSteps }: Position): Position {
  return { ...startPosition(), epoch: epoch + 1, optimizerSteps };
}

/** Writes `checkpoints/last`: model and optimizer, as the coordinator's replica holds them. */
export async function saveLast(
  folder: string,
  run: PreparedRun,
  position: Position,
  { keepPrevious = true } = {},
): Promise<void> {
  const { state } = run.replica;
  const model = modelState(run);
  const optimizer = optimizerStateOf(state);
  const averages = state.hasAverages ? await state.withAverages(() => modelState(run)) : undefined;
  await writeCheckpoint(
    join(folder, CHECKPOINTS),
    "last",
    factsOf(run, position),
    { model, optimizer, ...(averages ? { averages } : {}) },
    { keepPrevious },
  );
}

/** The present weights, with the batches that BatchNorm was trained on. */
function modelState({ replica: { model, state } }: PreparedRun) {
  return stateOf(state.parameters, batchCountsOf(model));
}

/** Writes `checkpoints/best`: the model alone, with averaged weights where the run has such. */
export async function saveBest(
  folder: string,
  run: PreparedRun,
  position: Position,
  accuracy: number,
): Promise<void> {
  const { state } = run.replica;
  const model = await state.withAverages(() => modelState(run));
  const facts = { ...factsOf(run, position), accuracy };
  await writeCheckpoint(join(folder, CHECKPOINTS), "best", facts, { model });
}

/** Writes `checkpoints/epoch-<number>` as {@linkcode saveBest} does, and removes the oldest of those. */
export async function saveEpoch(
  folder: string,
  run: PreparedRun,
  position: Position,
  accuracy: number,
): Promise<void> {
  const { state } = run.replica;
  const model = await state.withAverages(() => modelState(run));
  const facts = { ...factsOf(run, position), accuracy };
  const checkpoints = join(folder, CHECKPOINTS);
  await writeCheckpoint(checkpoints, `epoch-${position.epoch}`, facts, { model });
  const { keep } = run.config.checkpoint;
  if (keep !== undefined) await pruneCheckpoints(checkpoints, "epoch", keep);
}

/** Path of the newest checkpoint. */
export function lastPath(folder: string): string {
  return join(folder, CHECKPOINTS, "last");
}

/** Path of the best checkpoint. */
export function bestPath(folder: string): string {
  return join(folder, CHECKPOINTS, "best");
}

/** What a resumed run begins with. */
export interface Resumed {
  readonly position: Position;
  readonly history: History | undefined;
}

/**
 * Takes over the state of a run's `checkpoints/last`.
 *
 * @throws {UsageError} when the checkpoint is damaged, or is of another model or other data
 */
export async function resume(
  folder: string,
  run: PreparedRun,
  { acceptData = false } = {},
): Promise<Resumed> {
  const path = join(folder, CHECKPOINTS, "last");
  const checkpoint = await readCheckpoint(path);
  refuseOther(path, checkpoint, run, acceptData);
  await cleanCheckpoints(join(folder, CHECKPOINTS));
  const { replica, config } = run;
  const { info, model, optimizer, averages } = checkpoint;
  setState(replica.model, model, path);
  if (optimizer) setOptimizerState(replica.state, optimizer, path);
  if (averages) {
    await replica.state.withAverages(() => void setState(replica.model, averages, path));
  }
  const position: Position = {
    epoch: info.epoch,
    step: info.step,
    optimizerSteps: info.optimizerSteps,
    totals: { ...info.train },
    seconds: info.seconds,
  };
  const history = await exists(join(folder, HISTORY_FILE)) ? await readHistory(folder) : undefined;
  if (history) dropLaterPoints(history, position);
  const isOver = history?.epochs.some(({ epoch }) => epoch >= config.train.epochs);
  if (isOver) {
    throw new UsageError(
      `The run ${folder} has finished its ${config.train.epochs} epochs: nothing is left to resume`,
    );
  }
  const { earlyStopping } = config.train;
  const stopped = history && earlyStopping && earlyStopReason(earlyStopping, history.epochs);
  if (stopped) {
    throw new UsageError(
      `The run ${folder} has stopped early, as ${stopped}: nothing is left to resume; to train on from its weights, ` +
        "start a new run with --weights",
    );
  }
  delete history?.stopped; // a program may have said stop, and now says go on
  if (history?.epochs.some(({ epoch }) => epoch === position.epoch)) {
    return { position: nextEpoch(position), history };
  }
  return { position, history };
}

/** A run that was killed may have put points on record that its last checkpoint doesn't know of. */
function dropLaterPoints(history: History, { epoch, step }: Position): void {
  const isKnown = (point: { epoch: number; step: number }) =>
    point.epoch < epoch || (point.epoch === epoch && point.step <= step);
  history.losses = history.losses.filter(isKnown);
  history.validations = history.validations.filter(isKnown);
}

function factsOf({ config, folder, job }: PreparedRun, position: Position): CheckpointFacts {
  const { epoch, step, optimizerSteps, totals, seconds } = position;
  return {
    model: {
      name: config.model.name,
      numClasses: folder.classes.length,
      ...modelShape(config),
      ...userModel(config, job),
    },
    classes: folder.classes,
    epoch,
    step,
    globalBatch: globalBatchSize(config),
    optimizerSteps,
    train: totals,
    seconds,
    fingerprint: job.fingerprint,
    config,
    ...(Object.keys(job.modules ?? {}).length > 0 ? { modules: job.modules } : {}),
  };
}

/** What a checkpoint keeps of a network of the user's own. */
function userModel(
  config: PreparedRun["config"],
  { modules }: PreparedRun["job"],
): Partial<CheckpointFacts["model"]> {
  const { module } = config.model;
  if (!module) return {};
  return { module, moduleSha256: modules?.["model.module"], inputSize: inputSizeOf(config) };
}

/** What of the network's shape the config leaves free, in the checkpoint's form. */
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
  const { config, folder, job } = run;
  const differences = [
    differs("model", info.model.name, config.model.name),
    differs("classes", info.classes.join(", "), folder.classes.join(", ")),
    acceptData
      ? ""
      : differs("data fingerprint", info.fingerprint.slice(0, 12), job.fingerprint.slice(0, 12)),
    differs("global batch", String(info.globalBatch), String(globalBatchSize(config))),
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

/**
 * Checkpoints: a folder with tensors (safetensors) and a description (JSON), replaced as a whole.
 *
 * `checkpoints/last` is a name for a folder (see `checkpoint_names.ts`) that is complete before the name moves, so that
 * a reader, or a run that is resumed after a crash, sees the old checkpoint or the new one, never a part.
 * The one before stays as `checkpoints/last-1`.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import { z } from "../deps/zod.ts";
import { shownPath } from "../base/file_path.ts";
import { shellWord } from "../base/shell.ts";
import { asLockstepError, reasonOf, UsageError } from "../base/errors.ts";
import { exists, writeFileAtomically } from "../base/paths.ts";
import { readRegularFile } from "../base/regular_file.ts";
import { removeAtStop } from "../base/signals.ts";
import { architectureShape } from "../models/config.ts";
import type { HeadLayer } from "../models/head_specs.ts";
import { LOCKSTEP_VERSION } from "../base/versions.ts";
import { requireFinite } from "../weights/float_values.ts";
import { decodeWithDigest, encodeWithDigest } from "./checkpoint_digest.ts";
import {
  dropUnnamed,
  folderOf,
  INFO_FILE,
  newFolderName,
  pointName,
  removeUnnamed,
} from "./checkpoint_names.ts";
import { decodeSafetensors, encodeSafetensors, type NamedTensors } from "../weights/safetensors.ts";

const CHECKPOINT_VERSION = 3;
/** The format before: without a digest and without the config. */
const VERSION_BEFORE = 2;

const totalsSchema = z.strictObject({
  lossSum: z.number(),
  weight: z.number().nonnegative(),
  correct: z.int().nonnegative(),
  count: z.int().nonnegative(),
});

const pendingSchema = z.strictObject({
  ...totalsSchema.shape,
  ranks: z.array(z.int().nonnegative()),
  seconds: z.number().nonnegative(),
});

const lossScaleSchema = z.strictObject({
  scale: z.number().positive(),
  growthTracker: z.int().nonnegative(),
  skippedSteps: z.int().nonnegative(),
});

const nonFiniteSchema = z.strictObject({
  inARow: z.int().nonnegative(),
  ofEpoch: z.int().nonnegative(),
});

const historyMarkSchema = z.strictObject({
  epochs: z.int().nonnegative(),
  losses: z.int().nonnegative(),
  validations: z.int().nonnegative(),
  digest: z.string(),
});

const checkpointSchema = z.strictObject({
  checkpointVersion: z.literal([VERSION_BEFORE, CHECKPOINT_VERSION]),
  lockstep: z.string(),
  /** Architecture, and what is needed to build it again. */
  model: z.strictObject({
    name: z.string(),
    numClasses: z.int(),
    ...architectureShape,
    /** URL and SHA-256 of the module that makes a network of the user's own. */
    module: z.string().optional(),
    moduleSha256: z.string().optional(),
    /** Height and width that such a module was given. */
    inputSize: z.tuple([z.int().nullable(), z.int().nullable()]).optional(),
  }),
  classes: z.array(z.string()),
  /** Epoch that the state stands in, counted from 1. */
  epoch: z.int().nonnegative(),
  /** Steps of that epoch that are done. */
  step: z.int().nonnegative(),
  /** Samples per step over all workers: what a step number means. */
  globalBatch: z.int().positive(),
  /** Optimizer steps of the whole run. */
  optimizerSteps: z.int().nonnegative(),
  /** Training totals of the epoch so far. */
  train: totalsSchema,
  /** Seconds that the epoch has taken so far. */
  seconds: z.number().nonnegative(),
  /** Sums of the steps since the last point of the training loss, where there are any. */
  pending: pendingSchema.optional(),
  /** The loss scale after those steps, where losses are scaled. */
  lossScale: lossScaleSchema.optional(),
  /** Steps that were skipped because they were not finite, where such may be. */
  nonFinite: nonFiniteSchema.optional(),
  /** The extent of the run's history up to here; only in `last`. */
  history: historyMarkSchema.optional(),
  /** Validation accuracy of this state, where it is known; `null` is what JSON makes of NaN. */
  accuracy: z.number().nullish().transform((value) => value ?? undefined),
  /** Identity of the data that it was trained on. */
  fingerprint: z.string(),
  /** SHA-256 of each module of the user's own, by the config key that names it. */
  modules: z.record(z.string(), z.string()).optional(),
  /** The resolved config of the run; not in version 2. */
  config: z.record(z.string(), z.unknown()).optional(),
  /** SHA-256 of each file of tensors, in hexadecimal. */
  sha256: z.record(z.string(), z.string()),
});

/** The network of a checkpoint: what is needed to build it again. */
export interface CheckpointModel {
  /** An architecture, or `custom`. */
  name: string;
  /** Units of the last layer. */
  numClasses: number;
  /** Layers in the place of the architecture's last one. */
  head?: HeadLayer[] | undefined;
  /** Share that the architecture's own Dropout layers drop. */
  dropout?: number | undefined;
  /** Greatest probability of skipping a block. */
  stochasticDepth?: number | undefined;
  /** `true` where the model takes images normalized for ImageNet to Inception's range. */
  transformInput?: boolean | undefined;
  /** URL of the module that makes a network of the user's own. */
  module?: string | undefined;
  /** SHA-256 of that module. */
  moduleSha256?: string | undefined;
  /** Height and width that the module was given; `null` where those of training and validation differ. */
  inputSize?: [height: number | null, width: number | null] | undefined;
}

/** Sums over the samples of an epoch so far. */
export interface TrainTotals {
  /** Each sample's loss times its weight. */
  lossSum: number;
  /** The divisor of the sum for the mean loss. */
  weight: number;
  /** Samples whose highest logit was their label's. */
  correct: number;
  /** Samples. */
  count: number;
}

/** Sums over the steps since the last point of the training loss: an interrupted run's next point begins with them. */
export interface PendingSums extends TrainTotals {
  /** Samples of each rank. */
  ranks: number[];
  /** Time of those steps. */
  seconds: number;
}

/** The loss scale of a run in float16. */
export interface LossScaleFacts {
  /** The factor of the loss. */
  scale: number;
  /** Steps without an overflow since the factor last changed. */
  growthTracker: number;
  /** Steps of the epoch that were skipped, because gradients overflowed. */
  skippedSteps: number;
}

/** Steps that were skipped because loss or gradients were not finite. */
export interface NonFiniteStepCounts {
  /** The last steps without one that was applied between them. */
  inARow: number;
  /** Of the epoch so far. */
  ofEpoch: number;
}

/** The extent of a history up to a checkpoint. */
export interface HistoryMark {
  /** Epochs before the one that the checkpoint stands in. */
  epochs: number;
  /** Points of the training loss. */
  losses: number;
  /** Validations before the checkpoint's step. */
  validations: number;
  /** 16 hexadecimal digits of a SHA-256 over the last of each. */
  digest: string;
}

/** The description of a checkpoint (`checkpoint.json`). */
export interface CheckpointInfo {
  /** Version of the format. */
  checkpointVersion: 2 | 3;
  /** Version of the program that wrote it. */
  lockstep: string;
  /** The facts that are needed to build the network again. */
  model: CheckpointModel;
  /** Names in the order of the outputs. */
  classes: string[];
  /** Epoch that the state stands in, counted from 1. */
  epoch: number;
  /** Steps of that epoch that are done. */
  step: number;
  /** Samples per step over all workers: what a step number means. */
  globalBatch: number;
  /** Optimizer steps of the whole run. */
  optimizerSteps: number;
  /** Training totals of the epoch so far. */
  train: TrainTotals;
  /** Seconds that the epoch has taken so far. */
  seconds: number;
  /** Sums of the steps since the last point of the training loss, where there are any. */
  pending?: PendingSums | undefined;
  /** The loss scale after those steps, where losses are scaled. */
  lossScale?: LossScaleFacts | undefined;
  /** Steps that were skipped because they were not finite, where such may be. */
  nonFinite?: NonFiniteStepCounts | undefined;
  /** The extent of the run's history up to here; only in `last`. */
  history?: HistoryMark | undefined;
  /** Validation accuracy of this state, where it is known. */
  accuracy?: number | undefined;
  /** Identity of the data that it was trained on. */
  fingerprint: string;
  /** SHA-256 of each module of the user's own, by the config key that names it. */
  modules?: Record<string, string> | undefined;
  /** The resolved config of the run; not in version 2. */
  config?: Record<string, unknown> | undefined;
  /** SHA-256 of each file of tensors, in hexadecimal. */
  sha256: Record<string, string>;
}

/** The part of a checkpoint's description that its writer knows; versions and hashes are added. */
export type CheckpointFacts = Omit<CheckpointInfo, "checkpointVersion" | "lockstep" | "sha256">;

/** A checkpoint that was read and verified. */
export interface Checkpoint {
  readonly info: CheckpointInfo;
  /** Parameters and buffers by torchvision's names, in PyTorch's layout. */
  readonly model: NamedTensors;
  /** The optimizer's state, named as `fc.weight.momentum_buffer`, in PyTorch's layout; only in `last`. */
  readonly optimizer?: NamedTensors | undefined;
  /** Averaged weights, where the run keeps such; only in `last`. */
  readonly averages?: NamedTensors | undefined;
}

const MODEL_FILE = "model.safetensors";
const OPTIMIZER_FILE = "optimizer.safetensors";
const AVERAGES_FILE = "averages.safetensors";

/**
 * Writes `<folder>/<name>` atomically; keeps the one before as `<name>-1` when `keepPrevious` is set.
 *
 * @param folder The run's `checkpoints` folder
 * @param name `best` or `last`
 * @throws {LockstepError} when a tensor holds NaN or infinity; the existing checkpoint stays as it is
 * @throws {SystemError} when the checkpoint can't be written; the existing one stays as it is
 */
export async function writeCheckpoint(
  folder: string,
  name: string,
  facts: CheckpointFacts,
  tensors: { model: NamedTensors; optimizer?: NamedTensors; averages?: NamedTensors },
  { keepPrevious = false } = {},
): Promise<void> {
  for (const part of Object.values(tensors)) {
    requireFinite(part, `Checkpoint ${name} after epoch ${facts.epoch}, step ${facts.step}`);
  }
  const target = newFolderName(name, facts);
  const path = join(folder, target);
  const sha256: Record<string, string> = {};
  const metadata = {
    format: "pt",
    model: facts.model.name,
    classes: JSON.stringify(facts.classes),
  };
  const write = async (file: string, content: NamedTensors) => {
    const bytes = encodeSafetensors(content, metadata);
    sha256[file] = await sha256Of(bytes);
    await writeFileAtomically(join(path, file), bytes);
  };
  // Until a link names it, it is a temporary folder.
  using unnamed = removeAtStop(path);
  try {
    await write(MODEL_FILE, tensors.model);
    if (tensors.optimizer) await write(OPTIMIZER_FILE, tensors.optimizer);
    if (tensors.averages) await write(AVERAGES_FILE, tensors.averages);
    const info: CheckpointInfo = {
      checkpointVersion: CHECKPOINT_VERSION,
      lockstep: LOCKSTEP_VERSION,
      ...facts,
      sha256,
    };
    if (!Number.isFinite(info.accuracy)) delete info.accuracy; // chosen by another metric, and not known
    await writeFileAtomically(join(path, INFO_FILE), encodeWithDigest(info));
  } catch (error) {
    await Deno.remove(path, { recursive: true }).catch(() => {}); // the write error matters more
    throw error;
  }
  unnamed[Symbol.dispose]();
  try {
    await pointName(folder, name, target, { keepPrevious });
  } catch (error) {
    await dropUnnamed(folder, name, target).catch(() => {}); // the next one that is written removes it
    throw asLockstepError(error, join(folder, name));
  }
  // A folder that can't be removed now is removed with the next checkpoint: this one is complete.
  await removeUnnamed(folder, name).catch(() => {});
}

/**
 * Reads and verifies a checkpoint.
 *
 * @param path Folder of the checkpoint, such as `runs/latest/checkpoints/best`
 * @throws {UsageError} when it is missing, cut short, altered or of another format, naming the one before
 * where there is one
 */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  try {
    const folder = await folderOf(path);
    const info = parseInfo(await readRegularFile(join(folder, INFO_FILE)));
    const read = async (file: string) => {
      const bytes = await readRegularFile(join(folder, file));
      if (await sha256Of(bytes) !== info.sha256[file]) {
        throw new Error(`${file} is cut short or altered (its SHA-256 differs from ${INFO_FILE})`);
      }
      return decodeSafetensors(bytes, join(path, file)).tensors;
    };
    const model = await read(MODEL_FILE);
    const has = (file: string) => file in info.sha256;
    return {
      info,
      model,
      ...(has(OPTIMIZER_FILE) ? { optimizer: await read(OPTIMIZER_FILE) } : {}),
      ...(has(AVERAGES_FILE) ? { averages: await read(AVERAGES_FILE) } : {}),
    };
  } catch (error) {
    throw await unusable(path, error);
  }
}

/** Says why a checkpoint can't be used, and names the one before where there is one. */
async function unusable(path: string, error: unknown): Promise<UsageError> {
  const before = `${path}-1`;
  const offer = await exists(before)
    ? `the one before it may be whole: ${before} (to go on from it: ${
      resumeFrom(path, `${basename(path)}-1`)
    })`
    : "give another checkpoint or start a new run";
  const reason = error instanceof z.ZodError
    ? `${INFO_FILE} is not a Lockstep checkpoint: ${z.prettifyError(error)}`
    : reasonOf(error);
  return new UsageError(`Checkpoint ${path} can't be used: ${reason}; ${offer}`);
}

/**
 * Reads a checkpoint's description alone.
 *
 * @param path Folder of the checkpoint
 * @throws {UsageError} as {@linkcode readCheckpoint} does
 */
export async function readCheckpointInfo(path: string): Promise<CheckpointInfo> {
  try {
    return parseInfo(await readRegularFile(join(await folderOf(path), INFO_FILE)));
  } catch (error) {
    throw await unusable(path, error);
  }
}

/**
 * Parses a checkpoint's description.
 *
 * @throws {Error} when it is altered, or of another version
 * @throws {z.ZodError} when it is something else
 */
function parseInfo(bytes: Uint8Array): CheckpointInfo {
  const { json, hasDigest } = decodeWithDigest(bytes);
  refuseOtherVersion(json as Partial<CheckpointInfo> | null);
  const info = checkpointSchema.parse(json);
  if (hasDigest !== (info.checkpointVersion === CHECKPOINT_VERSION)) {
    throw new Error(`${INFO_FILE} is cut short or altered (its digest is missing)`);
  }
  return info;
}

/** The command that goes on with a run from one of its checkpoints. */
function resumeFrom(path: string, name: string): string {
  return `deno task train --resume ${shellWord(shownPath(dirname(dirname(path))))} --from ${name}`;
}

/** A checkpoint of another version is whole, but not for this program. */
function refuseOtherVersion(
  json: { checkpointVersion?: unknown; lockstep?: unknown } | null,
): void {
  const version = json?.checkpointVersion;
  if (typeof version !== "number") return;
  if (version === CHECKPOINT_VERSION || version === VERSION_BEFORE) return;
  throw new Error(
    `it is of version ${version}, written by Lockstep ${json?.lockstep}, and this Lockstep ` +
      `(${LOCKSTEP_VERSION}) reads versions ${VERSION_BEFORE} and ${CHECKPOINT_VERSION}: use the Lockstep that wrote it`,
  );
}

async function sha256Of(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return new Uint8Array(digest).toHex();
}

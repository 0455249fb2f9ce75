/**
 * Finds what was trained: weights, classes, and how images are prepared for them.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import { reasonOf, UsageError } from "../base/errors.ts";
import { exists } from "../base/paths.ts";
import { followPointers } from "../base/pointer.ts";
import { readRegularFile } from "../base/regular_file.ts";
import { hashModule } from "../base/user_module.ts";
import { modulesOf, requireModules } from "../config/consent.ts";
import type { Config } from "../config/schema.ts";
import type { TransformSpec } from "../data/transforms/transform_specs.ts";
import type { tf } from "../engine/tf.ts";
import { decodeSafetensors, type NamedTensors } from "../weights/safetensors.ts";
import { describeNoRun } from "../records/not_a_run.ts";
import { selectState, tensorsOf } from "../weights/select_state.ts";
import { readWeights } from "../weights/weights_file.ts";
import { type CheckpointInfo, readCheckpoint } from "../checkpoint/checkpoint.ts";
import {
  configIn,
  describeModel,
  presetSizes,
  presetTransforms,
  runAround,
  runConfig,
  withFreeKeys,
} from "./checkpoint_config.ts";
import { buildModelOf, checkModelModule, modelNameIn } from "./load_checkpoint.ts";
import { refuseUnreadable, renamesOf, setState } from "../train/load_weights.ts";

/** The place of a model: `run`, `checkpoint`, or both. */
export interface ModelSource {
  /** A run folder. */
  readonly run?: string;
  /** The run's `best` (default) or `last`, a checkpoint's folder, or a file of weights. */
  readonly checkpoint?: string;
  /**
   * Files of modules that the run names and that may be imported, as paths or `file:` URLs. A module that this user has
   * trained with needn't be named.
   */
  readonly modules?: readonly string[] | undefined;
}

/** The part of a checkpoint's description that says what the model is. */
export type ModelInfo =
  & Pick<CheckpointInfo, "model" | "classes">
  & Partial<
    Pick<CheckpointInfo, "epoch" | "step" | "accuracy" | "fingerprint" | "config" | "lockstep">
  >;

/** A model that was trained, not yet built. */
export interface TrainedModel {
  /** The run folder, where there is one. */
  readonly run?: string;
  /** The checkpoint's folder or the file of weights. */
  readonly checkpoint: string;
  /** The checkpoint's config, or that of the run around it, where there is one. */
  readonly config?: Config;
  readonly info: ModelInfo;
  readonly tensors: NamedTensors;
  /** Transforms that prepare an image: those of the validation, else those of the architecture's authors. */
  readonly transforms: readonly TransformSpec[];
  /** Further facts about the model that a user should know. */
  readonly notes: readonly string[];
}

const CONFIG_FILE = "config.yaml";
const INFO_FILE = "checkpoint.json";
/** Names of a run's checkpoints. */
const NAMED = ["best", "last"] as const;
const HOW = "such as --run runs/latest, or a checkpoint with --checkpoint";

/**
 * Finds a trained model. The engine needn't be open.
 *
 * @param needs The modules of a run's config that will be imported; the network's unless given
 * @throws {UsageError} when the run or the checkpoint is missing, damaged, or of another version, or when it needs a
 * module that the user has neither run nor named
 */
export async function findTrainedModel(
  place: ModelSource,
  needs?: (config: Config) => [key: string, url: string][],
): Promise<TrainedModel> {
  const [run, checkpoint] = await Promise.all([place.run, place.checkpoint].map(followed));
  if (run === undefined && checkpoint === undefined) {
    throw new UsageError(`Name a run with --run, ${HOW}`);
  }
  if (run !== undefined) await requireRun(run);
  const name = NAMED.find((name) => name === (checkpoint ?? NAMED[0]));
  const path = name && run !== undefined ? await namedOf(run, name) : checkpoint!;
  const folder = await checkpointFolder(path);
  const found = folder === undefined ? await fromFile(path, run) : await fromFolder(folder);
  const isOwn = found.info.model.module !== undefined;
  if (!isOwn) modelNameIn(found.info, found.checkpoint);
  const { classes, model } = found.info;
  if (classes.length !== model.numClasses) {
    throw new UsageError(
      `Checkpoint ${found.checkpoint} names ${classes.length} classes, but its model has ${model.numClasses}: ` +
        "give another checkpoint",
    );
  }
  const home = run ?? (folder && await runAround(folder));
  if (home === undefined && isOwn) {
    throw new UsageError(
      `Checkpoint ${found.checkpoint} is of a network that ${found.info.model.module} makes, which only its run may ` +
        "start: name that with --run",
    );
  }
  const own = configIn({ lockstep: "", ...found.info }, found.checkpoint);
  const mayImport = async (config: Config, where: string) => {
    const { module } = config.model;
    if (isOwn && module) { // another version wouldn't help, allowed or not
      checkModelModule(found.checkpoint, found.info, await hashModule("model.module", module));
    }
    const modules = needs?.(config) ??
      modulesOf(config).filter(([key]) => isOwn && key === "model.module");
    await requireModules(modules, { modules: place.modules }, { where });
  };
  if (home === undefined) {
    if (!own) return withPreset(found);
    await mayImport(own, `Checkpoint ${found.checkpoint}`);
    return { ...found, config: own, transforms: own.data.val };
  }
  const present = await runConfig(home);
  requireSameModel(found, present, home);
  const config = own ? withFreeKeys(own, present) : present;
  await mayImport(config, `Run ${home}`);
  return { ...found, run: home, config, transforms: config.data.val };
}

/** Builds a found model with its weights, in eval mode's shape: nothing is frozen. The engine must be open. */
export async function buildTrainedModel(
  { info, tensors, checkpoint, config, transforms }: Pick<
    TrainedModel,
    "info" | "tensors" | "checkpoint" | "config" | "transforms"
  >,
): Promise<tf.LayersModel> {
  const model = await buildModelOf(checkpoint, info, config?.model.module);
  setState(model, tensors, checkpoint);
  describeModel(model, {
    checkpoint,
    classes: info.classes,
    transforms,
    ...(config ? { config } : {}),
  });
  return model;
}

/** A path without files that stand for folders. */
async function followed(path: string | undefined): Promise<string | undefined> {
  return path === undefined ? undefined : await followPointers(path);
}

/** The facts that are found without looking at a run. */
type Found = Omit<TrainedModel, "run" | "config" | "transforms">;

async function requireRun(run: string): Promise<void> {
  if (await exists(join(run, CONFIG_FILE))) return;
  throw new UsageError(
    `Run ${run} ${await describeNoRun(run)}: name a folder that deno task train made, ${HOW}`,
  );
}

/** The folder behind one of a run's names for checkpoints. */
async function namedOf(run: string, name: (typeof NAMED)[number]): Promise<string> {
  const paths = NAMED.map((name) => join(run, "checkpoints", name));
  const [wanted, other] = name === "best" ? paths : paths.toReversed();
  if (await exists(wanted)) return await followPointers(wanted);
  const what = name === "best"
    ? "no best checkpoint, which comes with its first finished epoch"
    : "no newest checkpoint";
  throw new UsageError(
    `Run ${run} has ${what}: ${
      await exists(other)
        ? `take the other one with --checkpoint ${basename(other)}`
        : "wait for it"
    }`,
  );
}

/** The folder of a checkpoint that a path means, or nothing when it is a file of weights alone. */
async function checkpointFolder(path: string): Promise<string | undefined> {
  let isFile: boolean;
  try {
    isFile = (await Deno.stat(path)).isFile;
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound ? "is missing" : reasonOf(error);
    throw new UsageError(`Checkpoint ${path} ${reason}: name an existing one with --checkpoint`);
  }
  if (!isFile) return path;
  const isDescribed = basename(path) === INFO_FILE ||
    (basename(path) === "model.safetensors" && await exists(join(dirname(path), INFO_FILE)));
  return isDescribed ? dirname(path) : undefined;
}

async function fromFolder(folder: string): Promise<Found> {
  const { info, model, averages } = await readCheckpoint(folder);
  const notes = averages ? [`Checkpoint ${folder}: its averaged weights are used`] : [];
  return { checkpoint: folder, info, tensors: averages ?? model, notes };
}

/** A file of weights is described by the run that it is said to belong to, else by its own header. */
async function fromFile(path: string, run: string | undefined): Promise<Found> {
  if (run !== undefined) {
    const { info, model: state } = await readCheckpoint(await namedOf(run, "best"));
    const { model, classes, config, lockstep } = info;
    const shapes = new Map([...state].map(([name, { shape }]) => [name, shape]));
    const selected = selectState(await readWeights(path), {
      shapes,
      rename: renamesOf(model.name),
    });
    refuseUnreadable(selected, path);
    const { notes } = selected;
    return {
      checkpoint: path,
      info: { model, classes, lockstep, ...(config ? { config } : {}) },
      tensors: tensorsOf(selected),
      notes: notes.length > 0 ? [`Weights ${path}: ${notes.join("; ")}`] : [],
    };
  }
  const undescribed = new UsageError(
    `${path} doesn't say of which model and classes it is: name the run that it belongs to with --run too, ` +
      "or a checkpoint's folder",
  );
  if (!path.endsWith(".safetensors")) throw undescribed;
  const { tensors, metadata } = decodeSafetensors(await readRegularFile(path), path);
  const classes = namesIn(metadata.classes);
  if (!metadata.model || !classes) throw undescribed;
  const model = { name: metadata.model, numClasses: classes.length };
  return { checkpoint: path, info: { model, classes }, tensors, notes: [] };
}

/** A list of names in JSON, or nothing. */
function namesIn(json: string | undefined): string[] | undefined {
  try {
    const list: unknown = JSON.parse(json ?? "");
    const isList = Array.isArray(list) && list.every((name) => typeof name === "string");
    return isList ? list : undefined;
  } catch {
    return undefined; // the caller says what is missing
  }
}

function requireSameModel({ info, checkpoint }: Found, { model }: Config, run: string): void {
  if (info.model.name === model.name) return;
  throw new UsageError(
    `Checkpoint ${checkpoint} is of the model ${info.model.name}, but the run ${run} trains ${model.name}: ` +
      "give them one by one",
  );
}

/** Prepares images as the architecture's authors did for their validation. */
function withPreset(found: Found): TrainedModel {
  const name = modelNameIn(found.info, found.checkpoint);
  const transforms = presetTransforms(name);
  const [resize, crop] = presetSizes(name);
  const note =
    `No run's config lies by ${found.checkpoint}: images are prepared by the evaluation preset ` +
    `of ${name} (Resize ${resize}, CenterCrop ${crop}, ImageNet's mean and deviation)`;
  return { ...found, transforms, notes: [...found.notes, note] };
}

/**
 * From a checkpoint back to a model.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { hashModule } from "../base/user_module.ts";
import type { LayersModel, tf } from "../engine/tf.ts";
import { MODEL_NAMES } from "../models/config.ts";
import { type ArchitectureOptions, createModel } from "../models/create_model.ts";
import { type CheckpointInfo, readCheckpoint } from "./checkpoint.ts";
import { createUserModel } from "../models/user_model.ts";
import { setState } from "./load_weights.ts";

/** A model as a run left it. */
export interface LoadedCheckpoint {
  /** float32 [n, h, w, 3], normalized as in training → logits [n, classes]. */
  readonly model: LayersModel;
  /** Names of the classes, in the order of the logits. */
  readonly classes: readonly string[];
  /** Epoch, step, accuracy and the like. */
  readonly info: CheckpointInfo;
}

/** Settings of {@linkcode loadCheckpoint}. */
export interface LoadCheckpointOptions {
  /**
   * The module that makes the network, where it is one of your own: a `file:` URL. A checkpoint only names it, since
   * loading data must not run code that you haven't asked for.
   */
  readonly module?: string;
}

/** The shape of a checkpoint's network. */
function architectureIn({ model }: CheckpointInfo): ArchitectureOptions {
  const { name: _, module: _module, moduleSha256: _sha256, inputSize: _size, ...shape } = model;
  return Object.fromEntries(
    Object.entries(shape).filter(([, value]) => value !== undefined),
  ) as unknown as ArchitectureOptions;
}

/**
 * Loads the model of a checkpoint. The engine must be open.
 *
 * @param path Folder of the checkpoint, such as `runs/latest/checkpoints/best`
 * @throws {UsageError} when the checkpoint is missing, damaged, or of an unknown architecture, or the module isn't the
 * one that it was made with
 *
 * @example
 * ```ts
 * import { loadCheckpoint, openEngine } from "../../mod.ts";
 *
 * async function show(folder: string) {
 *   await openEngine();
 *   const { model, classes } = await loadCheckpoint(`${folder}/checkpoints/best`);
 *   console.log(classes, model.countParams());
 * }
 * ```
 */
export async function loadCheckpoint(
  path: string,
  { module }: LoadCheckpointOptions = {},
): Promise<LoadedCheckpoint> {
  const { info, model: tensors } = await readCheckpoint(path);
  const model = info.model.module !== undefined
    ? await userModelOf(path, info, module)
    : namedModelOf(path, info);
  setState(model, tensors, path);
  return { model, classes: info.classes, info };
}

function namedModelOf(path: string, info: CheckpointInfo): tf.LayersModel {
  const name = MODEL_NAMES.find((known) => known === info.model.name);
  if (!name) {
    throw new UsageError(
      `Checkpoint ${path} is of the model "${info.model.name}", which this Lockstep doesn't know ` +
        `(known are ${MODEL_NAMES.join(", ")}): update Lockstep`,
    );
  }
  return createModel(name, architectureIn(info));
}

async function userModelOf(
  path: string,
  { model }: CheckpointInfo,
  module: string | undefined,
): Promise<tf.LayersModel> {
  if (module === undefined) {
    throw new UsageError(
      `Checkpoint ${path} is of a network that ${model.module} makes: if you trust that module, give its URL as ` +
        "loadCheckpoint's option module, which runs it",
    );
  }
  const present = await hashModule("module", module);
  if (present !== model.moduleSha256) {
    throw new UsageError(
      `Checkpoint ${path} was made with another version of ${module} (SHA-256 ${
        model.moduleSha256?.slice(0, 12)
      }, here it is ${present.slice(0, 12)}): bring back the file that it was trained with`,
    );
  }
  const { numClasses, inputSize = [null, null] } = model;
  return await createUserModel(module, { numClasses, inputSize, seed: 0 });
}

/**
 * The conversion of a checkpoint back to a model.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { hashModule } from "../base/user_module.ts";
import type { LayersModel, tf } from "../engine/tf.ts";
import { MODEL_NAMES, type ModelName } from "../models/registry.ts";
import { type ArchitectureOptions, createModel } from "../models/create_model.ts";
import { type CheckpointInfo, readCheckpoint } from "../checkpoint/checkpoint.ts";
import { describeCheckpoint, describeModel } from "./checkpoint_config.ts";
import { createUserModel } from "../models/user_model.ts";
import { setState } from "../train/load_weights.ts";

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
  readonly module?: string | undefined;
}

/** The shape of a checkpoint's network. */
export function architectureIn({ model }: Pick<CheckpointInfo, "model">): ArchitectureOptions {
  const { name: _, module: _module, moduleSha256: _sha256, inputSize: _size, ...shape } = model;
  return Object.fromEntries(
    Object.entries(shape).filter(([, value]) => value !== undefined),
  ) as unknown as ArchitectureOptions;
}

/**
 * Loads the model of a checkpoint, with its averaged weights where it has them. The engine must be open. `evaluate()`
 * knows the facts of such a model's validation.
 *
 * @example
 * ```ts
 * import { loadCheckpoint, openEngine } from "@lockstep/lockstep";
 *
 * await openEngine();
 * const { model, classes, info } = await loadCheckpoint("runs/latest/checkpoints/best");
 * console.log(classes, model.countParams(), `epoch ${info.epoch}`);
 * model.dispose();
 * ```
 *
 * @param path Folder of the checkpoint, such as `runs/latest/checkpoints/best`
 * @throws {UsageError} when the checkpoint is missing, damaged, or of an unknown architecture, or the module isn't the
 * one that it was made with
 */
export async function loadCheckpoint(
  path: string,
  { module }: LoadCheckpointOptions = {},
): Promise<LoadedCheckpoint> {
  const { info, model: tensors, averages } = await readCheckpoint(path);
  const model = await buildModelOf(path, info, module);
  setState(model, averages ?? tensors, path);
  describeModel(model, await describeCheckpoint(path, info));
  return { model, classes: info.classes, info };
}

/**
 * Builds the network of a checkpoint, with fresh weights.
 *
 * @param path The checkpoint, for messages
 * @param module The module that makes it, where it is one of the user's own
 * @throws {UsageError} when this Lockstep doesn't know it, or the module isn't the one that it was made with
 */
export async function buildModelOf(
  path: string,
  info: Pick<CheckpointInfo, "model">,
  module: string | undefined,
): Promise<tf.LayersModel> {
  const { model } = info;
  if (model.module === undefined) {
    return createModel(modelNameIn(info, path), architectureIn(info));
  }
  if (module === undefined) {
    throw new UsageError(
      `Checkpoint ${path} is of a network that ${model.module} makes: if you trust that module, give its URL as ` +
        "loadCheckpoint's option module, which runs it",
    );
  }
  checkModelModule(path, info, await hashModule("module", module));
  const { numClasses, inputSize = [null, null] } = model;
  return await createUserModel(module, { numClasses, inputSize, seed: 0 });
}

/**
 * Makes sure that a network's module is the one that a checkpoint was made with.
 *
 * @param path The checkpoint, for messages
 * @param sha256 Hash of the module that is here; nothing for a named architecture
 * @throws {UsageError} naming both hashes
 */
export function checkModelModule(
  path: string,
  { model: { module, moduleSha256 } }: Pick<CheckpointInfo, "model">,
  sha256: string | undefined,
): void {
  if (sha256 === moduleSha256) return;
  const [saved, present] = [moduleSha256, sha256].map((hash) => hash?.slice(0, 12) ?? "of none");
  throw new UsageError(
    `Checkpoint ${path} was made with another version of ${module} (SHA-256 ${saved}, here it is ${present}): ` +
      "bring back the file that it was trained with",
  );
}

/**
 * The architecture of a checkpoint.
 *
 * @throws {UsageError} when this Lockstep doesn't know it
 */
export function modelNameIn({ model }: Pick<CheckpointInfo, "model">, path: string): ModelName {
  const name = MODEL_NAMES.find((known) => known === model.name);
  if (name) return name;
  throw new UsageError(
    `Checkpoint ${path} is of the model "${model.name}", which this Lockstep doesn't know ` +
      `(known are ${MODEL_NAMES.join(", ")}): update Lockstep`,
  );
}

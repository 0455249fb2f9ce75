/**
 * From a checkpoint back to a model.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import type { tf } from "../engine/tf.ts";
import { MODEL_NAMES, type ModelName } from "../models/config.ts";
import { type ArchitectureOptions, createModel } from "../models/create_model.ts";
import { type Checkpoint, type CheckpointInfo, readCheckpoint } from "./checkpoint.ts";
import { setState } from "./load_weights.ts";

/** A model as a run left it. */
export interface LoadedCheckpoint {
  /** float32 [n, h, w, 3], normalized as in training → logits [n, classes]. */
  readonly model: tf.LayersModel;
  /** Names of the classes, in the order of the logits. */
  readonly classes: readonly string[];
  /** Epoch, step, accuracy and the like. */
  readonly info: CheckpointInfo;
}

/** The shape of a checkpoint's network. */
export function architectureIn({ model }: Pick<CheckpointInfo, "model">): ArchitectureOptions {
  const { name: _, ...shape } = model;
  return Object.fromEntries(
    Object.entries(shape).filter(([, value]) => value !== undefined),
  ) as unknown as ArchitectureOptions;
}

/**
 * Loads the model of a checkpoint. The engine must be open.
 *
 * @param path Folder of the checkpoint, such as `runs/latest/checkpoints/best`
 * @throws {UsageError} when the checkpoint is missing, damaged, or of an unknown architecture
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
export async function loadCheckpoint(path: string): Promise<LoadedCheckpoint> {
  return modelFrom(await readCheckpoint(path), path);
}

/**
 * Builds the model of a checkpoint that was read. The engine must be open.
 *
 * @param path Where it was read from, for messages
 * @throws {UsageError} when it is of an unknown architecture
 */
export function modelFrom(checkpoint: Checkpoint, path: string): LoadedCheckpoint {
  const { info, model: tensors } = checkpoint;
  const model = createModel(modelNameIn(info, path), architectureIn(info));
  setState(model, tensors, path);
  return { model, classes: info.classes, info };
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

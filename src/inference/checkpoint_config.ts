/**
 * The config that travels with a checkpoint: how its network was trained, and how its images are prepared.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import { UsageError } from "../base/errors.ts";
import { exists } from "../base/paths.ts";
import { readRegularText } from "../base/regular_file.ts";
import { LOCKSTEP_VERSION } from "../base/versions.ts";
import { loadRunConfig } from "../config/load.ts";
import { type Config, configSchema, withWorkers } from "../config/schema.ts";
import { type TransformSpec, transformsSchema } from "../data/transforms/transform_specs.ts";
import type { LayersModel } from "../engine/tf.ts";
import { ARCHITECTURES, MODEL_NAMES, type ModelName } from "../models/registry.ts";
import type { CheckpointInfo } from "../checkpoint/checkpoint.ts";

/** The facts of a model's validation. */
export interface ModelDescription {
  /** The checkpoint's folder. */
  readonly checkpoint: string;
  /** Names of the classes, in the order of the outputs. */
  readonly classes: readonly string[];
  /** Transforms that prepare an image; nothing where they are unknown. */
  readonly transforms?: readonly TransformSpec[];
  /** Config of the run; nothing where neither the checkpoint nor a run around it has one. */
  readonly config?: Config;
}

const CONFIG_FILE = "config.yaml";

const descriptions = new WeakMap<LayersModel, ModelDescription>();

/** Remembers the facts of a model's validation for as long as the model exists. */
export function describeModel(model: LayersModel, description: ModelDescription): void {
  descriptions.set(model, description);
}

/** Returns the facts of a model's validation, if the model comes from a checkpoint. */
export function descriptionOf(model: LayersModel): ModelDescription | undefined {
  return descriptions.get(model);
}

/**
 * The config in a checkpoint.
 *
 * @param path The checkpoint, for messages
 * @returns `undefined` for checkpoints of version 2, which have none
 * @throws {UsageError} when this Lockstep can't read it
 */
export function configIn(
  { config, lockstep }: Pick<CheckpointInfo, "config" | "lockstep">,
  path: string,
): Config | undefined {
  if (config === undefined) return undefined;
  const result = configSchema.safeParse(config);
  if (result.success) return withWorkers(result.data);
  const [{ path: key, message }] = result.error.issues;
  throw new UsageError(
    `Checkpoint ${path} has a config that this Lockstep (${LOCKSTEP_VERSION}) can't read: ${
      key.join(".")
    }: ${message}; use Lockstep ${lockstep}, which wrote it`,
  );
}

/**
 * A checkpoint's config with what its run may have changed since: where the images are, and how its processes run.
 *
 * @param run The config in the run's folder
 */
export function withFreeKeys(config: Config, run: Config): Config {
  const { workers, nats, liveness, dashboard, loggers, exchange, out, data } = run;
  const { dataset, root, module, onError, cache, prefetch } = data;
  return {
    ...config,
    ...{ workers, nats, liveness, dashboard, loggers, exchange, out },
    data: { ...config.data, dataset, root, module, onError, cache, prefetch },
  };
}

/** Describes the validation of a checkpoint's model: by the checkpoint's config, or that of the run around it. */
export async function describeCheckpoint(
  folder: string,
  info: CheckpointInfo,
): Promise<ModelDescription> {
  const run = await runAround(folder);
  const config = configIn(info, folder) ?? (run === undefined ? undefined : await runConfig(run));
  const name = MODEL_NAMES.find((known) => known === info.model.name);
  const transforms = config?.data.val ?? (name && presetTransforms(name));
  return {
    checkpoint: folder,
    classes: info.classes,
    ...(transforms ? { transforms } : {}),
    ...(config ? { config } : {}),
  };
}

/** Sides of Resize and CenterCrop as the architecture's authors validate. */
export function presetSizes(name: ModelName): [resize: number, crop: number] {
  const { inputSize } = ARCHITECTURES[name];
  return [Math.round(inputSize * 256 / 224), inputSize];
}

/** Prepares images as the architecture's authors did for their validation. */
export function presetTransforms(name: ModelName): TransformSpec[] {
  const [resize, crop] = presetSizes(name);
  return transformsSchema.parse([
    { Resize: resize },
    { CenterCrop: crop },
    { Normalize: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } },
  ]);
}

/** The run folder that a checkpoint lies in, if it does. */
export async function runAround(folder: string): Promise<string | undefined> {
  const real = await Deno.realPath(folder);
  const run = dirname(dirname(real));
  const isRun = basename(dirname(real)) === "checkpoints" && await exists(join(run, CONFIG_FILE));
  return isRun ? run : undefined;
}

/** The config in a run folder. */
export async function runConfig(run: string): Promise<Config> {
  try {
    return withWorkers(await loadRunConfig(join(run, CONFIG_FILE)));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const version = await versionOf(run);
    if (version === undefined || version === LOCKSTEP_VERSION) throw error;
    throw new UsageError(
      `Run ${run} was made by Lockstep ${version}, and this is ${LOCKSTEP_VERSION}, which can't read its config: ` +
        `${error.message}; name its checkpoint alone, copied elsewhere, with --checkpoint`,
    );
  }
}

/** The version that made a run, as far as its folder says. */
async function versionOf(run: string): Promise<string | undefined> {
  try {
    const { lockstep } = JSON.parse(await readRegularText(join(run, "environment.json")));
    const version = typeof lockstep === "string" ? lockstep : lockstep?.version;
    return typeof version === "string" ? version : undefined;
  } catch {
    return undefined; // only a part of a message
  }
}

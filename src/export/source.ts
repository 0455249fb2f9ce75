/**
 * What is exported: a run's model with all that is needed to use it elsewhere.
 *
 * @module
 */
import { basename, join, resolve } from "node:path";
import { UsageError } from "../base/errors.ts";
import { exists } from "../base/paths.ts";
import { LOCKSTEP_VERSION } from "../base/versions.ts";
import { loadConfig } from "../config/load.ts";
import { outputSize, type TransformSpec } from "../data/transform_specs.ts";
import type { Size } from "../data/transforms/arguments.ts";
import type { tf } from "../engine/tf.ts";
import { readCheckpoint } from "../train/checkpoint.ts";
import { modelFrom } from "../train/load_checkpoint.ts";
import type { NamedTensors } from "../weights/torch_tensor.ts";

/** Facts that travel with an exported model. */
export interface ModelFacts {
  /** Version of Lockstep. */
  readonly lockstep: string;
  /** Name of the run, as its config has it. */
  readonly name: string;
  /** Name of the run's folder. */
  readonly run: string;
  /** Architecture, and what of its shape isn't as in its paper. */
  readonly architecture: { readonly name: string; readonly numClasses: number };
  /** In the order of the logits. */
  readonly classes: readonly string[];
  /** What makes the model's input of a picture: RGB, row by row, [height, width, 3]. */
  readonly preprocessing: {
    readonly height: number;
    readonly width: number;
    /** The run's `data.val`: torchvision's names and arguments. */
    readonly transforms: readonly TransformSpec[];
  };
  readonly checkpoint: {
    readonly epoch: number;
    readonly step: number;
    /** Validation accuracy, where it is known. */
    readonly accuracy?: number;
  };
}

/** A model that can be exported. */
export interface ExportSource {
  readonly model: tf.LayersModel;
  /** Parameters and buffers under torchvision's names, in PyTorch's layout. */
  readonly state: NamedTensors;
  readonly facts: ModelFacts;
  /** Height and width of what the model takes. */
  readonly size: Size;
}

/**
 * Finds a run's checkpoint and its preprocessing. The engine must be open.
 *
 * @param run The run's folder
 * @param checkpoint `best`, `last`, or the path of a checkpoint's folder
 * @throws {UsageError} when one of both is missing or damaged
 */
export async function readSource(run: string, checkpoint: string): Promise<ExportSource> {
  const configPath = join(run, "config.yaml");
  if (!await exists(configPath)) {
    throw new UsageError(
      `${run} is not a run folder, it has no config.yaml: give --run a folder such as runs/latest`,
    );
  }
  const { name, data, model: { module } } = await loadConfig(configPath);
  const path = await checkpointPath(run, checkpoint);
  const read = await readCheckpoint(path);
  // Averages are what a run with such validates by, and what its best checkpoint holds.
  const state = read.averages ?? read.model;
  const { model, info } = await modelFrom({ ...read, model: state }, path, module);
  const size = outputSize(data.val)!; // the config's schema sees to it
  const { epoch, step, accuracy } = info;
  return {
    model,
    state,
    size,
    facts: {
      lockstep: LOCKSTEP_VERSION,
      name,
      run: basename(await Deno.realPath(resolve(run))),
      architecture: info.model,
      classes: info.classes,
      preprocessing: { height: size[0], width: size[1], transforms: data.val },
      checkpoint: { epoch, step, ...(accuracy === undefined ? {} : { accuracy }) },
    },
  };
}

async function checkpointPath(run: string, checkpoint: string): Promise<string> {
  const isName = checkpoint === "best" || checkpoint === "last";
  const path = isName ? join(run, "checkpoints", checkpoint) : checkpoint;
  if (await exists(path)) return path;
  if (!isName) {
    throw new UsageError(
      `There is no checkpoint ${path}: give --checkpoint best, last or the folder of a checkpoint`,
    );
  }
  const other = checkpoint === "best" ? "last" : "best";
  const hasOther = await exists(join(run, "checkpoints", other));
  throw new UsageError(
    `The run ${run} has no checkpoint "${checkpoint}" yet: ${
      hasOther ? `give --checkpoint ${other}` : "let it train, or name another run"
    }`,
  );
}

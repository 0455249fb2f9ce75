/**
 * The source of an export: a run's model with all that is needed to use it elsewhere.
 *
 * @module
 */
import { basename, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { LOCKSTEP_VERSION } from "../base/versions.ts";
import { followPointers } from "../base/pointer.ts";
import { outputSize, type TransformSpec } from "../data/transforms/transform_specs.ts";
import type { Size } from "../data/transforms/arguments.ts";
import type { tf } from "../engine/tf.ts";
import { buildTrainedModel, findTrainedModel } from "../inference/trained_model.ts";
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
  readonly architecture: {
    readonly name: string;
    readonly numClasses: number;
    /** Name of the user's module that makes the network, where one does; its folder is private. */
    readonly module?: string | undefined;
  };
  /** Names of the classes, in the order of the logits. */
  readonly classes: readonly string[];
  /** The conversion of an image to the model's input: RGB, row by row, [height, width, 3]. */
  readonly preprocessing: {
    readonly height: number;
    readonly width: number;
    /** The run's `data.val`: torchvision's names and arguments. */
    readonly transforms: readonly TransformSpec[];
  };
  readonly checkpoint: {
    /** Epoch, step and validation accuracy, where they are known. */
    readonly epoch?: number;
    readonly step?: number;
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
 * @param checkpoint `best`, `last`, a checkpoint's folder, or a file of weights
 * @param modules Files of modules that may be imported, as in `ModelSource`
 * @throws {UsageError} when one of both is missing or damaged
 */
export async function readSource(
  run: string,
  checkpoint: string,
  modules?: readonly string[],
): Promise<ExportSource> {
  const found = await findTrainedModel({ run, checkpoint, modules });
  const { info: { classes, model: { module, ...shape }, epoch, step, accuracy }, transforms } =
    found;
  const size = outputSize(transforms)!; // the config's schema sees to it
  return {
    model: await buildTrainedModel(found),
    state: found.tensors,
    size,
    facts: {
      lockstep: LOCKSTEP_VERSION,
      name: found.config!.name,
      run: basename(await Deno.realPath(resolve(await followPointers(run)))),
      architecture: module === undefined
        ? shape
        : { ...shape, module: basename(fileURLToPath(module)) },
      classes,
      preprocessing: { height: size[0], width: size[1], transforms },
      checkpoint: {
        ...(epoch === undefined ? {} : { epoch }),
        ...(step === undefined ? {} : { step }),
        ...(accuracy === undefined ? {} : { accuracy }),
      },
    },
  };
}

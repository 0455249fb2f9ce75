/**
 * Brings weights from files into models, and models' states back under PyTorch's names.
 *
 * @module
 */
import type { tf } from "../engine/tf.ts";
import type { ModelName } from "../models/config.ts";
import type { Parameter } from "../models/parameters.ts";
import { ARCHITECTURES } from "../models/registry.ts";
import { assignTorch, type LoadReport, loadStateDict, readTorch } from "../models/state_dict.ts";
import { type NamedTensors, toFloat32, type TorchTensor } from "../weights/torch_tensor.ts";
import { readWeights } from "../weights/weights_file.ts";

/** Settings of {@linkcode loadTorchWeights}. */
export interface LoadWeightsOptions {
  /** Start with a fresh last layer when the file has another number of classes; otherwise that is an error. */
  readonly replaceHead?: boolean;
}

/**
 * Sets a model's parameters and buffers from a `.pth` (zip or legacy format) or `.safetensors` file with
 * torchvision's names. Nothing is changed when the file doesn't fit.
 *
 * @param model Made by `createModel`
 * @throws {UsageError} when the file can't be read, holds anything but tensors and plain containers, or is of
 * another architecture or number of classes
 */
export async function loadTorchWeights(
  model: tf.LayersModel,
  path: string,
  { replaceHead = false }: LoadWeightsOptions = {},
): Promise<LoadReport> {
  return setState(model, await readWeights(path), path, replaceHead);
}

/**
 * Sets a model's parameters and buffers from tensors under torchvision's names.
 *
 * @param source Where the tensors come from, for messages
 * @throws {UsageError} when they don't fit
 */
export function setState(
  model: tf.LayersModel,
  tensors: NamedTensors,
  source: string,
  replaceHead = false,
): LoadReport {
  const { heads, renameState = (name: string) => name } = ARCHITECTURES[model.name as ModelName];
  const state = new Map(
    [...tensors].map(([name, tensor]) => [
      renameState(name),
      { shape: tensor.shape, values: toFloat32(tensor) },
    ]),
  );
  return loadStateDict(model, state, { source, heads, replaceHead });
}

/** A model's parameters and buffers (float32) under PyTorch's names and in PyTorch's layout. */
export function stateOf(parameters: readonly Parameter[]): Map<string, TorchTensor> {
  return new Map(
    parameters.map(({ name, variable, kind, torchShape }) => [
      name,
      { dtype: "float32", shape: torchShape, data: readTorch(variable, kind) },
    ]),
  );
}

/** Momentum buffers under the names of their parameters, in PyTorch's layout. */
export function momentumOf(
  parameters: readonly Parameter[],
  momentum: ReadonlyMap<string, tf.Variable>,
): Map<string, TorchTensor> {
  return new Map(
    parameters.filter(({ name }) => momentum.has(name)).map(({ name, kind, torchShape }) => [
      name,
      { dtype: "float32", shape: torchShape, data: readTorch(momentum.get(name)!, kind) },
    ]),
  );
}

/**
 * Sets momentum buffers from what {@linkcode momentumOf} gave.
 *
 * @throws {RangeError} when a buffer is missing or has another size
 */
export function setMomentum(
  parameters: readonly Parameter[],
  momentum: ReadonlyMap<string, tf.Variable>,
  tensors: NamedTensors,
): void {
  for (const { name, kind, torchShape } of parameters) {
    const variable = momentum.get(name);
    if (!variable) continue;
    const tensor = tensors.get(name);
    if (tensor?.shape.join() !== torchShape.join()) {
      throw new RangeError(
        `Momentum of ${name} is ${
          tensor ? `[${tensor.shape}]` : "missing"
        }, expected [${torchShape}]`,
      );
    }
    assignTorch(variable, toFloat32(tensor), torchShape, kind);
  }
}

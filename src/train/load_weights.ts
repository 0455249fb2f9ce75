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
import type { Optimizer } from "../optim/optimizer.ts";
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

/** An optimizer's state under names such as `fc.weight.momentum_buffer`, in PyTorch's layout. */
export function optimizerStateOf(
  { parameters, optimizer }: OptimizedModel,
): Map<string, TorchTensor> {
  return new Map(
    slotsOf(parameters, optimizer).map(({ name, variable, kind, torchShape }) => [
      name,
      { dtype: "float32", shape: torchShape, data: readTorch(variable, kind) },
    ]),
  );
}

/**
 * Sets an optimizer's state from what {@linkcode optimizerStateOf} gave.
 *
 * @throws {RangeError} when a tensor is missing or has another shape
 */
export function setOptimizerState(
  { parameters, optimizer }: OptimizedModel,
  tensors: NamedTensors,
): void {
  for (const { name, variable, kind, torchShape } of slotsOf(parameters, optimizer)) {
    const tensor = tensors.get(name);
    if (tensor?.shape.join() !== torchShape.join()) {
      throw new RangeError(
        `The optimizer's ${name} is ${
          tensor ? `[${tensor.shape}]` : "missing"
        }, expected [${torchShape}]`,
      );
    }
    assignTorch(variable, toFloat32(tensor), torchShape, kind);
  }
}

/** A model's parameters, and the optimizer of those that learn. */
interface OptimizedModel {
  readonly parameters: readonly Parameter[];
  readonly optimizer: Optimizer;
}

/** The state's tensors, each with its parameter's layout. */
function slotsOf(parameters: readonly Parameter[], optimizer: Optimizer) {
  const state = optimizer.state();
  return parameters.flatMap(({ name, kind, torchShape }) =>
    [...state.get(name) ?? []].map(([slot, variable]) => ({
      name: `${name}.${slot}`,
      variable,
      kind,
      torchShape,
    }))
  );
}

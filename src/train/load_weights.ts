/**
 * Brings weights from files into models, and models' states back under PyTorch's names.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { bytesIn } from "../base/float_range.ts";
import { type LayersModel, tf } from "../engine/tf.ts";
import { readInto, tensorFrom } from "../engine/transfer.ts";
import { setBatchCounts } from "../models/batch_counts.ts";
import { USER_MODEL } from "../models/config.ts";
import { ARCHITECTURES, type ModelName } from "../models/registry.ts";
import { fromTorch, type Parameter, parametersOf } from "../models/parameters.ts";
import { userModelHeads } from "../models/user_model.ts";
import { type LoadReport, loadStateDict, readTorch } from "../models/state_dict.ts";
import { floatValues } from "../weights/float_values.ts";
import { type SelectedState, selectState, tensorsOf } from "../weights/select_state.ts";
import type { NamedTensors, TorchTensor } from "../weights/torch_tensor.ts";
import { readWeights } from "../weights/weights_file.ts";
import type { ReplicaState } from "./replica_state.ts";

/** Settings of {@linkcode loadTorchWeights}. */
export interface LoadWeightsOptions {
  /** Start with a fresh last layer when the file has another number of classes; otherwise that is an error. */
  readonly replaceHead?: boolean;
}

/**
 * Sets a model's parameters and buffers from a file of PyTorch (zip or legacy format) or safetensors with
 * torchvision's names. Wrappers around the state dict and prefixes of its names are taken off; the report's notes say
 * which. Nothing is changed when the file doesn't fit.
 *
 * @example
 * ```ts
 * import { createModel, loadTorchWeights, openEngine } from "@lockstep/lockstep";
 *
 * await openEngine();
 * const model = createModel("plain_cnn", { numClasses: 2 });
 * const { loaded } = await loadTorchWeights(model, "runs/latest/checkpoints/best/model.safetensors");
 * console.log(`${loaded} parameters and buffers`);
 * ```
 *
 * @param model Made by `createModel`, or of a checkpoint
 * @throws {UsageError} when the file can't be read, holds no state dict, is of another
 * architecture or number of classes, or has values that are no finite floats
 */
export async function loadTorchWeights(
  model: LayersModel,
  path: string,
  { replaceHead = false }: LoadWeightsOptions = {},
): Promise<LoadReport> {
  const { renameState } = originOf(model);
  const shapes = new Map(
    parametersOf(model).map(({ name, torchShape }) => [name, torchShape]),
  );
  const selected = selectState(await readWeights(path), { shapes, rename: renameState });
  refuseUnreadable(selected, path);
  const report = setState(model, tensorsOf(selected), path, replaceHead, selected);
  return selected.notes.length > 0 ? { ...report, notes: selected.notes } : report;
}

/**
 * Refuses a state dict some of whose parameters are of a kind that can't be read.
 *
 * @throws {UsageError} naming the first one
 */
export function refuseUnreadable({ unreadable }: SelectedState, source: string): void {
  for (const [name, kind] of unreadable) {
    const cure = kind === "sparse"
      ? "save it dense (tensor.to_dense())"
      : "save the weights as float32, float16 or bfloat16";
    throw new UsageError(`${source}: tensor ${name} is ${kind}, which can't be read: ${cure}`);
  }
}

/**
 * Sets a model's parameters and buffers from tensors under torchvision's names.
 *
 * @param source The origin of the tensors, for messages
 * @param selected Tells their names in the file, for messages
 * @throws {UsageError} when they don't fit, are no floats, or hold values that are not finite
 */
export function setState(
  model: tf.LayersModel,
  tensors: NamedTensors,
  source: string,
  replaceHead = false,
  selected?: SelectedState,
): LoadReport {
  const { heads, renameState } = originOf(model);
  const state = new Map(
    [...tensors].map(([name, tensor]) => [
      renameState(name),
      {
        shape: tensor.shape,
        read: () => floatValues(selected?.tensors.get(name)?.fileName ?? name, tensor, source),
      },
    ]),
  );
  const report = loadStateDict(model, state, { source, heads, replaceHead });
  setBatchCounts(model, countsIn(tensors, renameState));
  return report;
}

const COUNT = /^(.*)\.num_batches_tracked$/;

/** The batches that each BatchNorm layer was trained on, where tensors record them. */
function countsIn(
  tensors: NamedTensors,
  renameState: (name: string) => string,
): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [name, { dtype, data }] of tensors) {
    const layer = COUNT.exec(renameState(name))?.[1];
    if (layer === undefined || dtype !== "int64" || data.byteLength !== 8) continue;
    const count = Number(new DataView(data.buffer, data.byteOffset).getBigInt64(0, true));
    if (Number.isSafeInteger(count) && count > 0) counts.set(layer, count);
  }
  return counts;
}

/** Returns the last layers of a model, and the function that turns names in files into the model's. */
function originOf(
  model: tf.LayersModel,
): { heads: readonly string[]; renameState: (name: string) => string } {
  const own = userModelHeads(model);
  const heads = own ?? ARCHITECTURES[model.name as ModelName].heads;
  return { heads, renameState: renamesOf(own ? USER_MODEL : model.name) };
}

/**
 * Returns the function that turns names in public files into those of a model.
 *
 * @param name An architecture, or `custom`
 */
export function renamesOf(name: string): (name: string) => string {
  const { renameState } = Object.hasOwn(ARCHITECTURES, name)
    ? ARCHITECTURES[name as ModelName]
    : {};
  return renameState ?? ((name) => name);
}

/**
 * A model's parameters and buffers (float32) under PyTorch's names and in PyTorch's layout.
 *
 * @param counts Batches that BatchNorm layers were trained on, which follow their running variances as int64
 */
export function stateOf(
  parameters: readonly Parameter[],
  counts: ReadonlyMap<string, number> = new Map(),
): Map<string, TorchTensor> {
  return new Map(
    parameters.flatMap(({ name, layer, variable, kind, torchShape }): [string, TorchTensor][] => {
      const data = readTorch(variable, kind);
      const own: [string, TorchTensor] = [name, { dtype: "float32", shape: torchShape, data }];
      const count = counts.get(layer);
      if (count === undefined || !name.endsWith(".running_var")) return [own];
      return [own, [`${layer}.num_batches_tracked`, countTensor(count)]];
    }),
  );
}

/** A count as PyTorch keeps it: an int64 scalar. */
export function countTensor(count: number): TorchTensor {
  const data = new Uint8Array(8);
  new DataView(data.buffer).setBigInt64(0, BigInt(count), true);
  return { dtype: "int64", shape: [], data };
}

/** An optimizer's state under names such as `fc.weight.momentum_buffer`, in PyTorch's layout. */
export async function optimizerStateOf(state: ReplicaState): Promise<Map<string, TorchTensor>> {
  const { optimizer: { slots }, trainable, layout: { places } } = state;
  const vectors = await Promise.all(slots.map((_, slot) => state.readSlot(slot)));
  return new Map(
    trainable.flatMap(({ name, variable, kind, torchShape }, index) =>
      slots.map((slot, position): [string, TorchTensor] => {
        const own = tensorFrom(
          variable.shape,
          "float32",
          bytesIn(vectors[position], places[index]),
        );
        const data = readTorch(own, kind);
        own.dispose();
        return [`${name}.${slot}`, { dtype: "float32", shape: torchShape, data }];
      })
    ),
  );
}

/**
 * Sets an optimizer's state from what {@linkcode optimizerStateOf} gave.
 *
 * @param source The origin of the tensors, for messages
 * @throws {UsageError} when a tensor is missing, has another shape, or a value that is not finite
 */
export async function setOptimizerState(
  state: ReplicaState,
  tensors: NamedTensors,
  source = "The optimizer's state",
): Promise<void> {
  const { optimizer, trainable, layout: { places } } = state;
  for (const [position, slot] of optimizer.slots.entries()) {
    const vector = await state.readSlot(position);
    trainable.forEach(({ name, kind, torchShape }, index) => {
      const tensor = tensors.get(`${name}.${slot}`);
      if (tensor?.shape.join() !== torchShape.join()) {
        throw new UsageError(
          `${source} ${
            tensor ? `has ${name}.${slot} of shape [${tensor.shape}]` : `holds no ${name}.${slot}`
          }, ` +
            "which the optimizer needs to go on: train.optimizer, its momentum or what learns was another then; set " +
            "that back, or start a new run with these weights (--weights and the file model.safetensors in there)",
        );
      }
      const values = floatValues(`${name}.${slot}`, tensor, source);
      const target = bytesIn(vector, places[index]);
      tf.tidy(() => readInto(fromTorch(tf.tensor(values, [...torchShape]), kind), target));
    });
    await state.writeSlot(position, vector);
  }
}

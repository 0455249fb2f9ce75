/**
 * The state dicts in what a training script saved, wherever they lie in it.
 *
 * @module
 */
import {
  describe,
  type PickleDict,
  PickleError,
  type PickleValue,
  UnknownObject,
} from "./pickle_values.ts";
import { OpaqueTensor, TensorRef } from "./torch_pickle.ts";
import type { NamedTensors } from "./torch_tensor.ts";

/** A state dict of a file. */
export interface StateDict {
  /** The keys that lead to it, joined by dots, such as `state_dict`; empty when it is the file's whole content. */
  readonly key: string;
  readonly tensors: NamedTensors;
  /** Tensors that can't be read, by name: what they are, such as `sparse` or `float8_e4m3fn`. */
  readonly unreadable: ReadonlyMap<string, string>;
}

/** A state dict whose tensors are not read yet. */
export interface StateRefs {
  readonly key: string;
  readonly tensors: ReadonlyMap<string, TensorRef>;
  readonly unreadable: ReadonlyMap<string, string>;
}

/** Keys on the way to a state dict; training scripts need two. */
const MAX_DEPTH = 3;
/** State dicts in a file; training scripts save two or three. */
const MAX_STATES = 64;
const SAVE_STATE = "load it in Python and save its model.state_dict() with torch.save";

/**
 * Finds the dicts that have tensors under names, the outermost first and each level in the file's order.
 * A dict under a key that is no text is none of them: optimizers have such.
 *
 * @throws {PickleError} when there is none, saying what is there instead
 */
export function findStateDicts(value: PickleValue): StateRefs[] {
  const found: StateRefs[] = [];
  const root = rootOf(value);
  let level: [key: string, dict: PickleDict][] = [["", root]];
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const below: typeof level = [];
    for (const [key, dict] of level) {
      const state = stateIn(key, dict);
      if (state) found.push(state);
      below.push(...dictsIn(key, dict));
    }
    level = below;
  }
  if (found.length === 0) refuse(root);
  return found.slice(0, MAX_STATES);
}

function rootOf(value: PickleValue): PickleDict {
  refuseNetwork(value, "");
  const dict = asDict(value);
  if (!dict) {
    throw new PickleError(`it holds ${describe(value)}, not a state dict`);
  }
  if (dict.size === 0) throw new PickleError("it holds an empty state dict");
  return dict;
}

/** A dict, or an object that is filled like one. */
function asDict(value: PickleValue): PickleDict | undefined {
  if (value instanceof Map) return value;
  return value instanceof UnknownObject && value.entries.size > 0 ? value.entries : undefined;
}

function stateIn(key: string, dict: PickleDict): StateRefs | undefined {
  const tensors = new Map<string, TensorRef>();
  const unreadable = new Map<string, string>();
  for (const [name, value] of dict) {
    if (typeof name !== "string") continue;
    if (value instanceof TensorRef) tensors.set(name, value);
    else if (value instanceof OpaqueTensor) unreadable.set(name, value.kind);
  }
  return tensors.size + unreadable.size === 0 ? undefined : { key, tensors, unreadable };
}

function dictsIn(key: string, dict: PickleDict): [string, PickleDict][] {
  return [...dict].flatMap(([name, value]): [string, PickleDict][] => {
    const inner = typeof name === "string" ? asDict(value) : undefined;
    return inner ? [[key === "" ? String(name) : `${key}.${name}`, inner]] : [];
  });
}

/** There is no state dict in a dict: says what there is. */
function refuse(dict: PickleDict): never {
  for (const [name, value] of dict) refuseNetwork(value, String(name));
  const empty = [...dict].find(([, value]) => value instanceof Map && value.size === 0);
  if (empty && /state|model|net/i.test(String(empty[0]))) {
    throw new PickleError(`it holds an empty state dict (${JSON.stringify(String(empty[0]))})`);
  }
  const shown = [...dict].slice(0, 3).map(([name, value]) =>
    `${JSON.stringify(String(name))} is ${describe(value)}`
  );
  throw new PickleError(`it holds a dict without tensors: ${shown.join(", ")}`);
}

function refuseNetwork(value: PickleValue, key: string): void {
  if (!(value instanceof UnknownObject && value.isNetwork)) return;
  const where = key === "" ? "" : ` as ${JSON.stringify(key)}`;
  throw new PickleError(
    `it holds a whole model${where} (an object of ${value.type.shown}, whose code Lockstep never runs), not a ` +
      "state dict",
    SAVE_STATE,
  );
}

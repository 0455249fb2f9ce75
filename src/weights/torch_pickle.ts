/**
 * The part of `torch.save`'s format that is a pickle: tensors as references into storages.
 *
 * @module
 */
import { type PickleEnvironment, readPickle } from "./pickle.ts";
import {
  type Budget,
  checkKey,
  describe,
  type PickleDict,
  PickleError,
  PickleFunction,
  PickleObject,
  PickleTuple,
  type PickleValue,
} from "./pickle_values.ts";
import type { TorchDtype } from "./torch_tensor.ts";

/** A whole storage of the file: a flat run of elements that tensors may share. */
export interface Storage {
  readonly key: string;
  readonly dtype: TorchDtype;
  /** Elements. */
  readonly count: number;
}

/** A storage, or (in files of old versions of PyTorch) a part of one. */
export class StorageRef extends PickleObject {
  /**
   * @param offset Element of `storage` that this part starts at
   * @param count Elements of this part
   */
  constructor(readonly storage: Storage, readonly offset: number, readonly count: number) {
    super();
  }
}

/** A tensor that is described, and not yet checked against its storage or read. */
export class TensorRef extends PickleObject {
  /**
   * @param offset Element of the storage that the tensor starts at
   * @param shape Sizes, as the file gives them
   * @param strides Elements between neighbours of each dimension, as the file gives them
   */
  constructor(
    readonly storage: StorageRef,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {
    super();
  }
}

/** The element type that a storage class such as `torch.FloatStorage` stands for. */
class StorageType extends PickleObject {
  constructor(readonly dtype: TorchDtype) {
    super();
  }
}

const STORAGE_TYPES: Readonly<Record<string, TorchDtype>> = {
  "torch.FloatStorage": "float32",
  "torch.DoubleStorage": "float64",
  "torch.HalfStorage": "float16",
  "torch.BFloat16Storage": "bfloat16",
  "torch.LongStorage": "int64",
  "torch.IntStorage": "int32",
  "torch.ShortStorage": "int16",
  "torch.CharStorage": "int8",
  "torch.ByteStorage": "uint8",
  "torch.BoolStorage": "bool",
};

const GLOBALS: ReadonlyMap<string, PickleValue> = new Map<string, PickleValue>([
  ...Object.entries(STORAGE_TYPES).map(([name, dtype]) => [name, new StorageType(dtype)] as const),
  ["collections.OrderedDict", new PickleFunction(makeOrderedDict)],
  ["torch.Size", new PickleFunction(makeSize)],
  ["torch._utils._rebuild_tensor", new PickleFunction(rebuildTensor)],
  ["torch._utils._rebuild_tensor_v2", new PickleFunction(rebuildTensor)],
  ["torch._utils._rebuild_parameter", new PickleFunction(rebuildParameter)],
  ["_codecs.encode", new PickleFunction(encodeLatin1)],
]);

/**
 * Reads the pickle that describes what was saved.
 *
 * @param start Index in `bytes` that the pickle starts at
 * @returns The saved value, the storages that it refers to by key, and the index after the pickle
 * @throws {PickleError} when it holds anything but tensors, numbers, texts and plain containers
 */
export function readTorchPickle(
  bytes: Uint8Array,
  start = 0,
): { value: PickleValue; storages: ReadonlyMap<string, Storage>; end: number } {
  const storages = new Map<string, Storage>();
  const environment: PickleEnvironment = {
    globals: GLOBALS,
    persistent: (id) => resolveStorage(id, storages),
  };
  return { ...readPickle(bytes, environment, start), storages };
}

/** Reads a pickle that may hold plain values only. */
export function readPlainPickle(
  bytes: Uint8Array,
  start: number,
): { value: PickleValue; end: number } {
  return readPickle(bytes, {
    globals: new Map(),
    persistent: () => {
      throw new PickleError("it refers to a storage where none belongs");
    },
  }, start);
}

/** A persistent id: ("storage", type, key, device, element count[, part]). */
function resolveStorage(id: PickleValue, storages: Map<string, Storage>): StorageRef {
  const [kind, type, key, , count, part = null] = id instanceof PickleTuple ? id.items : [];
  const isStorage = kind === "storage" && type instanceof StorageType && typeof key === "string" &&
    isNatural(count);
  if (!isStorage) throw new PickleError("it refers to a storage that is not described as one");
  const { dtype } = type;
  const known = storages.get(key);
  if (known && (known.dtype !== dtype || known.count !== count)) {
    throw new PickleError(
      `its storage ${key} is ${known.count} of ${known.dtype} and ${count} of ${dtype}`,
    );
  }
  const storage = known ?? { key, dtype, count };
  storages.set(key, storage);
  if (part === null) return new StorageRef(storage, 0, count);

  const [, offset, size] = part instanceof PickleTuple ? part.items : [];
  if (!isNatural(offset) || !isNatural(size) || offset + size > count) {
    throw new PickleError(`its storage ${key} has a part that doesn't lie within it`);
  }
  return new StorageRef(storage, offset, size);
}

/** `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)`. */
function rebuildTensor(args: readonly PickleValue[], budget: Budget): TensorRef {
  const [storage, offset, size, stride] = args;
  if (!(storage instanceof StorageRef) || !isNatural(offset)) {
    throw new PickleError("it has a tensor without a storage");
  }
  return new TensorRef(storage, offset, naturals(size, budget), naturals(stride, budget));
}

/** `_rebuild_parameter(tensor, requires_grad, hooks)`. */
function rebuildParameter([tensor]: readonly PickleValue[]): TensorRef {
  if (!(tensor instanceof TensorRef)) throw new PickleError("it has a parameter without a tensor");
  return tensor;
}

/** `torch.Size((2, 3))` is kept as the tuple that it is. */
function makeSize([sizes]: readonly PickleValue[]): PickleValue {
  if (!(sizes instanceof PickleTuple)) throw new PickleError("it has a torch.Size of no tuple");
  return sizes;
}

/** `OrderedDict()` or, from Python 2, `OrderedDict([[key, value], …])`. */
function makeOrderedDict([items = []]: readonly PickleValue[], budget: Budget): PickleDict {
  if (!Array.isArray(items)) {
    throw new PickleError(`it has an OrderedDict of ${describe(items)}`);
  }
  budget.take(items.length);
  const dict: PickleDict = new Map();
  for (const item of items) {
    const pair = item instanceof PickleTuple ? item.items : item;
    if (!Array.isArray(pair) || pair.length !== 2) {
      throw new PickleError(`it has an OrderedDict with ${describe(item)} for an item`);
    }
    dict.set(checkKey(pair[0]), pair[1]);
  }
  return dict;
}

/** How protocol 2 writes bytes: `_codecs.encode("text", "latin1")`. */
function encodeLatin1([text, encoding]: readonly PickleValue[], budget: Budget): Uint8Array {
  if (typeof text !== "string" || encoding !== "latin1") {
    throw new PickleError("it has bytes that are not written as latin1");
  }
  budget.take(text.length);
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function naturals(value: PickleValue, budget: Budget): number[] {
  const items = value instanceof PickleTuple ? value.items : value;
  if (!Array.isArray(items)) {
    throw new PickleError(`it has a tensor whose size is ${describe(value)}`);
  }
  budget.take(items.length);
  return items.map((item) => {
    if (!isNatural(item)) {
      throw new PickleError("it has a tensor whose sizes are no natural numbers");
    }
    return item;
  });
}

function isNatural(value: PickleValue | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

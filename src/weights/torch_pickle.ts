/**
 * The part of `torch.save`'s format that is a pickle: tensors as references into storages.
 *
 * @module
 */
import { type PickleEnvironment, readPickle } from "./pickle.ts";
import {
  type Budget,
  describe,
  type PickleDict,
  PickleError,
  PickleFunction,
  PickleObject,
  PickleTuple,
  type PickleValue,
  setItem,
  UnknownGlobal,
  UnknownObject,
} from "./pickle_values.ts";
import { ITEM_SIZES, type TorchDtype } from "./torch_tensor.ts";

/** A whole storage of the file: a flat run of elements that tensors may share. */
export interface Storage {
  readonly key: string;
  /** Type of its elements; `undefined` where it is none that can be read. */
  readonly dtype: TorchDtype | undefined;
  /** The type's name, for messages. */
  readonly typeName: string;
  /** Bytes per element. */
  readonly itemSize: number;
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
    readonly dtype: TorchDtype,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {
    super();
  }
}

/** A tensor of a kind that can't be read: sparse, quantized, or of an element type that is none of weights. */
export class OpaqueTensor extends PickleObject {
  /** @param kind An adjective or an element type: `sparse`, `float8_e4m3fn` */
  constructor(readonly kind: string) {
    super();
  }
}

/** The element type that a storage class such as `torch.FloatStorage` stands for. */
class StorageType extends PickleObject {
  constructor(
    readonly typeName: string,
    readonly itemSize: number,
    readonly dtype: TorchDtype | undefined,
  ) {
    super();
  }
}

const READABLE: Readonly<Record<string, TorchDtype>> = {
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

/** Storages that may lie beside the weights: the type's name, and bytes per element. */
const UNREADABLE: Readonly<Record<string, readonly [typeName: string, itemSize: number]>> = {
  "torch.ComplexFloatStorage": ["complex64", 8],
  "torch.ComplexDoubleStorage": ["complex128", 16],
  "torch.QInt8Storage": ["qint8", 1],
  "torch.QUInt8Storage": ["quint8", 1],
  "torch.QInt32Storage": ["qint32", 4],
  // Of tensors whose type has no storage class of its own, such as float8; counts bytes.
  "torch.storage.UntypedStorage": ["untyped", 1],
  "torch.UntypedStorage": ["untyped", 1],
};

const STORAGE_TYPES: readonly (readonly [name: string, StorageType])[] = [
  ...Object.entries(READABLE).map(([name, dtype]) =>
    [name, new StorageType(dtype, ITEM_SIZES[dtype], dtype)] as const
  ),
  ...Object.entries(UNREADABLE).map(([name, [typeName, itemSize]]) =>
    [name, new StorageType(typeName, itemSize, undefined)] as const
  ),
];

/** Tensors of other kinds, by the function of `torch._utils` that makes them. */
const KINDS: Readonly<Record<string, string>> = {
  sparse_tensor: "sparse",
  sparse_csr_tensor: "sparse",
  qtensor: "quantized",
  nested_tensor: "nested",
  meta_tensor_no_storage: "without values (on the meta device)",
};

const GLOBALS: ReadonlyMap<string, PickleValue> = new Map<string, PickleValue>([
  ...STORAGE_TYPES,
  ["collections.OrderedDict", new PickleFunction(makeOrderedDict)],
  ["collections.defaultdict", new PickleFunction(() => new Map())],
  [
    "builtins.dict",
    new PickleFunction((args, budget) => makeOrderedDict(args.slice(0, 1), budget)),
  ],
  ["torch.Size", new PickleFunction(makeSize)],
  ["torch._utils._rebuild_tensor", new PickleFunction(rebuildTensor)],
  ["torch._utils._rebuild_tensor_v2", new PickleFunction(rebuildTensor)],
  ["torch._utils._rebuild_tensor_v3", new PickleFunction(rebuildTensor)],
  ["torch._utils._rebuild_parameter", new PickleFunction(rebuildParameter)],
  ["torch._utils._rebuild_parameter_with_state", new PickleFunction(rebuildParameter)],
  ["torch._tensor._rebuild_from_type_v2", new PickleFunction(rebuildFromType)],
  ...Object.entries(KINDS).map(([name, kind]) =>
    [`torch._utils._rebuild_${name}`, new PickleFunction(() => new OpaqueTensor(kind))] as const
  ),
  ["_codecs.encode", new PickleFunction(encodeLatin1)],
]);

/**
 * Reads the pickle that describes what was saved.
 *
 * @param start Index in `bytes` that the pickle starts at
 * @returns The saved value, the storages that it refers to by key, and the index after the pickle
 * @throws {PickleError} when it is malformed, or refers to something that no weights need
 */
export function readTorchPickle(
  bytes: Uint8Array,
  start = 0,
): { value: PickleValue; storages: ReadonlyMap<string, Storage>; end: number } {
  const storages = new Map<string, Storage>();
  const environment: PickleEnvironment = {
    globals: GLOBALS,
    unknown: "placeholder",
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
  const { dtype, typeName, itemSize } = type;
  const known = storages.get(key);
  if (known && (known.typeName !== typeName || known.count !== count)) {
    throw new PickleError(
      `its storage ${key} is ${known.count} of ${known.typeName} and ${count} of ${typeName}`,
    );
  }
  const storage = known ?? { key, dtype, typeName, itemSize, count };
  storages.set(key, storage);
  if (part === null) return new StorageRef(storage, 0, count);

  const [, offset, size] = part instanceof PickleTuple ? part.items : [];
  if (!isNatural(offset) || !isNatural(size) || offset + size > count) {
    throw new PickleError(`its storage ${key} has a part that doesn't lie within it`);
  }
  return new StorageRef(storage, offset, size);
}

/** `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)`; v3 has a dtype after them. */
function rebuildTensor(args: readonly PickleValue[], budget: Budget): TensorRef | OpaqueTensor {
  const [storage, offset, size, stride, , , type] = args;
  if (!(storage instanceof StorageRef) || !isNatural(offset)) {
    throw new PickleError("it has a tensor without a storage");
  }
  const { dtype, typeName } = storage.storage;
  if (type instanceof UnknownGlobal) return new OpaqueTensor(type.shown.replace(/^torch\./, ""));
  if (dtype === undefined) return new OpaqueTensor(typeName);
  return new TensorRef(storage, dtype, offset, naturals(size, budget), naturals(stride, budget));
}

/** `_rebuild_parameter(tensor, requires_grad, hooks)`. */
function rebuildParameter([tensor]: readonly PickleValue[]): PickleValue {
  if (!(tensor instanceof TensorRef || tensor instanceof OpaqueTensor)) {
    throw new PickleError("it has a parameter without a tensor");
  }
  return tensor;
}

/** `_rebuild_from_type_v2(function, class, arguments, state)`: a tensor of a subclass, or with attributes. */
function rebuildFromType(args: readonly PickleValue[], budget: Budget): PickleValue {
  const [make, , inner] = args;
  if (make instanceof PickleFunction && inner instanceof PickleTuple) {
    // Within itself it would recurse as deep as the file says.
    if (make.call === rebuildFromType) throw new PickleError("it has a tensor within a tensor");
    return make.call(inner.items, budget);
  }
  return make instanceof UnknownGlobal ? new UnknownObject(make) : null;
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
    setItem(dict, pair[0], pair[1]);
  }
  return dict;
}

/** Copied bytes that take as much of the budget as one value: histories of numpy have megabytes. */
const BYTES_PER_UNIT = 64;

/** Decodes the bytes of protocol 2: `_codecs.encode("text", "latin1")`. */
function encodeLatin1([text, encoding]: readonly PickleValue[], budget: Budget): Uint8Array {
  if (typeof text !== "string" || encoding !== "latin1") {
    throw new PickleError("it has bytes that are not written as latin1");
  }
  budget.take(Math.ceil(text.length / BYTES_PER_UNIT));
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function naturals(value: PickleValue | undefined, budget: Budget): number[] {
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

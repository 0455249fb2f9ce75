/**
 * Files of weights that no honest program writes, made byte by byte.
 *
 * @module
 */
import { Uint8ArrayReader, Uint8ArrayWriter, ZipWriter } from "@zip.js/zip.js";

/** Opcodes of pickles that the tests write. */
export const OP = {
  mark: 0x28,
  stop: 0x2e,
  emptyTuple: 0x29,
  tuple: 0x74,
  tuple1: 0x85,
  tuple2: 0x86,
  tuple3: 0x87,
  emptyList: 0x5d,
  append: 0x61,
  appends: 0x65,
  emptyDict: 0x7d,
  setItem: 0x73,
  setItems: 0x75,
  none: 0x4e,
  reduce: 0x52,
  build: 0x62,
  persistentId: 0x51,
  pop: 0x30,
  dup: 0x32,
  stackGlobal: 0x93,
  newObject: 0x81,
} as const;

const encoder = new TextEncoder();

/** Joins bytes, opcodes and pieces made by the functions below. */
export function bytesOf(...parts: (number | Uint8Array)[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(parts.flatMap((part) => typeof part === "number" ? [part] : [...part]));
}

/** A whole pickle of protocol 2. */
export function pickle(...parts: (number | Uint8Array)[]): Uint8Array<ArrayBuffer> {
  return bytesOf(0x80, 2, ...parts, OP.stop);
}

/** A text (BINUNICODE). */
export function text(value: string): Uint8Array {
  const bytes = encoder.encode(value);
  return bytesOf(0x58, littleEndian(bytes.length, 4), bytes);
}

/** An integer below 2^63 (LONG1). */
export function integer(value: number | bigint): Uint8Array {
  return bytesOf(0x8a, 8, littleEndian(value, 8));
}

/** A reference to `module.name` (GLOBAL). */
export function global(module: string, name: string): Uint8Array {
  return bytesOf(0x63, encoder.encode(`${module}\n${name}\n`));
}

/** Keeps the top of the stack (BINPUT). */
export function put(index: number): Uint8Array {
  return bytesOf(0x71, index);
}

/** Pushes what was kept (BINGET). */
export function get(index: number): Uint8Array {
  return bytesOf(0x68, index);
}

/** A tensor of storage `key`, as torch.save describes it. */
export function tensor(
  {
    key = "0",
    type = "FloatStorage",
    count = 4,
    part = [] as number[],
    offset = 0,
    shape = [4],
    strides = [1],
  } = {},
): Uint8Array {
  // What PyTorch before 0.4 wrote of a storage that is a part of another: a key, offset and size.
  const view = part.length > 0
    ? [bytesOf(OP.mark, text("part"), ...part.map(integer), OP.tuple)]
    : [];
  const tuple = (values: readonly number[]) => bytesOf(OP.mark, ...values.map(integer), OP.tuple);
  return bytesOf(
    global("torch._utils", "_rebuild_tensor_v2"),
    OP.mark,
    OP.mark,
    text("storage"),
    global("torch", type),
    text(key),
    text("cpu"),
    integer(count),
    ...view,
    OP.tuple,
    OP.persistentId,
    integer(offset),
    tuple(shape),
    tuple(strides),
    0x89, // no gradient
    OP.emptyDict,
    OP.tuple,
    OP.reduce,
  );
}

/** A state dict of one tensor called `weight`. */
export function oneTensor(options: Parameters<typeof tensor>[0] = {}): Uint8Array<ArrayBuffer> {
  return pickle(OP.emptyDict, text("weight"), tensor(options), OP.setItem);
}

/** Little-endian two's complement. */
export function littleEndian(value: number | bigint, length: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigInt64(0, BigInt(value), true);
  return new Uint8Array(view.buffer, 0, length);
}

/** A file in the legacy format with one storage, called `0`, or nearly so. */
export function legacyFile(
  saved: Uint8Array,
  storage: Uint8Array,
  { count = storage.length / 4, version = 1001, littleEndianKey = "little_endian", key = "0" } = {},
): Uint8Array<ArrayBuffer> {
  const magic = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
  return bytesOf(
    pickle(0x8a, 10, ...magic),
    pickle(integer(version)),
    pickle(OP.emptyDict, text(littleEndianKey), 0x88, OP.setItem),
    saved,
    pickle(OP.emptyList, text(key), OP.append),
    littleEndian(count, 8),
    storage,
  );
}

/** A zip archive as torch.save writes it, or nearly so. */
export async function archive(
  entries: Readonly<Record<string, Uint8Array>>,
  options: { level?: number; zip64?: boolean } = {},
): Promise<Uint8Array> {
  const writer = new ZipWriter(new Uint8ArrayWriter(), {
    level: 0,
    useWebWorkers: false,
    extendedTimestamp: false,
    ...options,
  });
  for (const [name, content] of Object.entries(entries)) {
    await writer.add(`archive/${name}`, new Uint8ArrayReader(content));
  }
  return await writer.close();
}

/** Little-endian float32. */
export function floats(...values: number[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Float32Array(values).buffer);
}

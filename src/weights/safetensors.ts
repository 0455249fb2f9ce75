/**
 * The safetensors format: 8 bytes of header length (unsigned, little-endian), a JSON header, the tensors' bytes.
 *
 * The header maps a name to `{ dtype, shape, data_offsets: [begin, end] }`, offsets counted from the end of the
 * header, and `__metadata__` to strings. The bytes must be covered without holes or overlaps.
 *
 * @module
 */
import { messageOf, UsageError } from "../base/errors.ts";
import { scanObjectKeys } from "./json_keys.ts";
import {
  elementCount,
  ITEM_SIZES,
  type NamedTensors,
  type TorchDtype,
  type TorchTensor,
} from "./torch_tensor.ts";

export type { NamedTensors } from "./torch_tensor.ts";

const LENGTH_BYTES = 8;
/** Far above any real header (100,000 tensors); keeps a lying one from filling the memory. */
const MAX_HEADER_BYTES = 16 * 2 ** 20;
/** Header → tensor → shape. */
const MAX_HEADER_DEPTH = 3;
const METADATA_KEY = "__metadata__";

const CODES: Readonly<Record<TorchDtype, string>> = {
  float32: "F32",
  float64: "F64",
  float16: "F16",
  bfloat16: "BF16",
  int64: "I64",
  int32: "I32",
  int16: "I16",
  int8: "I8",
  uint8: "U8",
  bool: "BOOL",
};
/** Element types that no weights here are made of, and bits per element: such a tensor may lie beside the weights. */
const UNREADABLE: ReadonlyMap<unknown, readonly [name: string, bits: number]> = new Map([
  ["F8_E4M3", ["float8_e4m3fn", 8]],
  ["F8_E5M2", ["float8_e5m2", 8]],
  ["F8_E8M0", ["float8_e8m0fnu", 8]],
  ["F6_E2M3", ["float6_e2m3", 6]],
  ["F6_E3M2", ["float6_e3m2", 6]],
  ["F4", ["float4_e2m1fn", 4]],
  ["U16", ["uint16", 16]],
  ["U32", ["uint32", 32]],
  ["U64", ["uint64", 64]],
  ["C64", ["complex64", 64]],
]);
const DTYPES: ReadonlyMap<unknown, TorchDtype> = new Map(
  Object.entries(CODES).map(([dtype, code]) => [code, dtype as TorchDtype]),
);

/**
 * Writes tensors as the bytes of a safetensors file.
 *
 * Names keep their order; the bytes are laid out from the widest element type to the narrowest, so that each
 * tensor is aligned to its own type.
 *
 * @param metadata Strings for the header
 * @throws {RangeError} when a tensor's bytes don't fit its shape, or is called `__metadata__`
 */
export function encodeSafetensors(
  tensors: NamedTensors,
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const offsets = new Map<string, number>();
  const byWidth = [...tensors].sort(([, a], [, b]) => ITEM_SIZES[b.dtype] - ITEM_SIZES[a.dtype]);
  let end = 0;
  for (const [name, { dtype, shape, data }] of byWidth) {
    const count = elementCount(shape);
    if (name === METADATA_KEY || count === undefined || count * ITEM_SIZES[dtype] !== data.length) {
      throw new RangeError(
        `Tensor ${name} (${dtype} [${shape}], ${data.length} bytes) can't be written as safetensors`,
      );
    }
    offsets.set(name, end);
    end += data.length;
  }

  const entries = [`"${METADATA_KEY}":${JSON.stringify(metadata)}`];
  for (const [name, { dtype, shape, data }] of tensors) {
    const begin = offsets.get(name)!;
    const entry = { dtype: CODES[dtype], shape, data_offsets: [begin, begin + data.length] };
    entries.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
  }
  const json = new TextEncoder().encode(`{${entries.join(",")}}`);
  const headerLength = Math.ceil(json.length / LENGTH_BYTES) * LENGTH_BYTES;

  const bytes = new Uint8Array(LENGTH_BYTES + headerLength + end);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength), true);
  bytes.fill(0x20, LENGTH_BYTES, LENGTH_BYTES + headerLength); // the format pads with spaces
  bytes.set(json, LENGTH_BYTES);
  for (const [name, begin] of offsets) {
    bytes.set(tensors.get(name)!.data, LENGTH_BYTES + headerLength + begin);
  }
  return bytes;
}

/**
 * Reads the bytes of a safetensors file.
 *
 * @param path The file's path, for messages
 * @returns Tensors (views into `bytes`) in the header's order, and the strings of `__metadata__`
 * @throws {UsageError} when the file is cut short, altered, malformed, or holds an element type that Lockstep
 * doesn't know
 */
export function decodeSafetensors(
  bytes: Uint8Array,
  path: string,
): { tensors: Map<string, TorchTensor>; metadata: Record<string, string> } {
  const { tensors, metadata, unreadable } = decodeSafetensorsState(bytes, path);
  for (const [name, dtype] of unreadable) {
    throw new UsageError(
      `${path} is not a usable safetensors file: tensor ${
        JSON.stringify(name)
      } has dtype ${dtype}, and these can ` +
        `be read: ${[...DTYPES.values()].join(", ")}; get or write the file again`,
    );
  }
  return { tensors, metadata };
}

/**
 * {@linkcode decodeSafetensors} of a file of others: tensors of element types that can't be read may be beside.
 *
 * @returns `unreadable`: the names of such tensors, each with its element type
 * @throws {UsageError} when the file is cut short, altered or malformed
 */
export function decodeSafetensorsState(
  bytes: Uint8Array,
  path: string,
): {
  tensors: Map<string, TorchTensor>;
  unreadable: Map<string, string>;
  metadata: Record<string, string>;
} {
  try {
    return decode(bytes);
  } catch (error) {
    throw new UsageError(
      `${path} is not a usable safetensors file: ${messageOf(error)}; get or write the file again`,
      { cause: error },
    );
  }
}

/** The reason why a file is refused, as part of the message. */
class FormatError extends Error {}

function decode(bytes: Uint8Array) {
  const { names, header, dataStart } = readHeader(bytes);
  const data = bytes.subarray(dataStart);
  const tensors = new Map<string, TorchTensor>();
  const unreadable = new Map<string, string>();
  const spans: { name: string; begin: number; end: number }[] = [];
  let metadata: Record<string, string> = {};
  for (const name of names) {
    if (name === METADATA_KEY) {
      metadata = checkMetadata(header[name]);
      continue;
    }
    const { code, shape, begin, end } = checkEntry(name, header[name], data.length);
    spans.push({ name, begin, end });
    const dtype = DTYPES.get(code);
    if (dtype) tensors.set(name, { dtype, shape, data: data.subarray(begin, end) });
    else unreadable.set(name, UNREADABLE.get(code)![0]);
  }
  checkCoverage(spans, data.length);
  return { tensors, unreadable, metadata };
}

function readHeader(bytes: Uint8Array) {
  if (bytes.length < LENGTH_BYTES) {
    throw new FormatError(`it ends after ${bytes.length} bytes, inside the header's length`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getBigUint64(0, true);
  const rest = bytes.length - LENGTH_BYTES;
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw new FormatError(
      `its header claims ${length} bytes, and at most ${MAX_HEADER_BYTES} are allowed`,
    );
  }
  if (length > BigInt(rest)) {
    throw new FormatError(`its header claims ${length} bytes, and ${rest} are there`);
  }
  const dataStart = LENGTH_BYTES + Number(length);
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
    .decode(bytes.subarray(LENGTH_BYTES, dataStart));
  if (!text.startsWith("{")) throw new FormatError("its header doesn't start with {");
  const names = scanObjectKeys(text, MAX_HEADER_DEPTH);
  return { names, header: JSON.parse(text) as Record<string, unknown>, dataStart };
}

function checkMetadata(value: unknown): Record<string, string> {
  const wellFormed = isObject(value) && Object.values(value).every((v) => typeof v === "string");
  if (!wellFormed) throw new FormatError(`${METADATA_KEY} doesn't map names to strings`);
  return { ...value } as Record<string, string>;
}

function checkEntry(name: string, value: unknown, available: number) {
  const what = `tensor ${JSON.stringify(name)}`;
  if (!isObject(value)) throw new FormatError(`${what} is described by no object`);
  const { dtype: code, shape, data_offsets: offsets, ...others } = value;
  const unknownKey = Object.keys(others)[0];
  if (unknownKey !== undefined) {
    throw new FormatError(`${what} has the unknown key ${JSON.stringify(unknownKey)}`);
  }
  const dtype = DTYPES.get(code);
  const bits = dtype ? 8 * ITEM_SIZES[dtype] : UNREADABLE.get(code)?.[1];
  if (bits === undefined) {
    throw new FormatError(
      `${what} has dtype ${JSON.stringify(code)}, and these can be read: ${
        [...DTYPES.keys()].join(", ")
      }`,
    );
  }
  const count = Array.isArray(shape) ? elementCount(shape) : undefined;
  if (count === undefined) {
    throw new FormatError(`${what} has a shape that can't be: ${jsonExcerpt(shape)}`);
  }
  const isPair = Array.isArray(offsets) && offsets.length === 2;
  const [begin, end] = isPair ? offsets as unknown[] : [];
  if (!isNatural(begin) || !isNatural(end) || begin > end) {
    throw new FormatError(`${what} has data_offsets that can't be: ${jsonExcerpt(offsets)}`);
  }
  if (end > available) {
    throw new FormatError(
      `${what} ends at byte ${end} of the data, and there are ${available} (is the file cut short?)`,
    );
  }
  if (8 * (end - begin) !== count * bits) {
    throw new FormatError(
      `${what} (${code} [${shape}]) needs ${count * bits / 8} bytes, and its data_offsets hold ${
        end - begin
      }`,
    );
  }
  return { code, shape: shape as number[], begin, end };
}

function checkCoverage(
  spans: { name: string; begin: number; end: number }[],
  available: number,
): void {
  let covered = 0;
  for (const { name, begin, end } of spans.sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== covered) {
      const fault = begin < covered ? "overlaps the tensor before it" : "leaves a hole before it";
      throw new FormatError(`tensor ${JSON.stringify(name)} (bytes ${begin} to ${end}) ${fault}`);
    }
    covered = end;
  }
  if (covered !== available) {
    throw new FormatError(`its tensors take ${covered} bytes, and ${available} follow the header`);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isNatural(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

const SHOWN_CHARACTERS = 60;

function jsonExcerpt(value: unknown): string {
  const text = JSON.stringify(value) ?? "missing";
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}

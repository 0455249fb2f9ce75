/**
 * `torch.save`'s format before PyTorch 1.6: pickles of a magic number, the format's version, facts of the
 * machine, the saved value and the storages' keys; then for each key an element count and the elements.
 *
 * @module
 */
import { readPlainPickle, readTorchPickle, type Storage } from "./torch_pickle.ts";
import { describe, PickleError, type PickleValue } from "./pickle_values.ts";

const MAGIC_NUMBER = 0x1950a86a20f9469cfc6cn;
const VERSION = 1001;
const COUNT_BYTES = 8;

/** The magic number as a pickle of any protocol writes it. */
const MAGIC_BYTES = [0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTO = 0x80;
/** Positions of the magic number: after the protocol and, from protocol 4 on, a frame's length. */
const MAGIC_POSITIONS = [2, 11];

/** Tells whether a file starts like one in the legacy format. */
export function isLegacy(bytes: Uint8Array): boolean {
  return bytes[0] === PROTO &&
    MAGIC_POSITIONS.some((start) => MAGIC_BYTES.every((byte, i) => bytes[start + i] === byte));
}

/**
 * Reads a whole file in the legacy format.
 *
 * @returns The saved value, and each storage's bytes (views into the file) by key
 * @throws {PickleError} when it is cut short or malformed
 */
export function readLegacy(
  bytes: Uint8Array,
): { value: PickleValue; contents: ReadonlyMap<string, Uint8Array> } {
  const magic = readPlainPickle(bytes, 0);
  const version = readPlainPickle(bytes, magic.end);
  if (magic.value !== MAGIC_NUMBER || version.value !== VERSION) {
    const found = typeof version.value === "number" ? version.value : describe(version.value);
    throw new PickleError(`its format has version ${found}, and ${VERSION} can be read`);
  }
  const machine = readPlainPickle(bytes, version.end);
  if (!(machine.value instanceof Map) || machine.value.get("little_endian") !== true) {
    throw new PickleError("its numbers are not little-endian");
  }
  const saved = readTorchPickle(bytes, machine.end);
  const keys = readPlainPickle(bytes, saved.end);
  if (!Array.isArray(keys.value)) throw new PickleError("it doesn't list its storages");
  return { value: saved.value, contents: locate(bytes, keys.end, keys.value, saved.storages) };
}

function locate(
  bytes: Uint8Array,
  start: number,
  keys: readonly PickleValue[],
  storages: ReadonlyMap<string, Storage>,
): Map<string, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const contents = new Map<string, Uint8Array>();
  let position = start;
  for (const key of keys) {
    const storage = typeof key === "string" ? storages.get(key) : undefined;
    if (!storage || contents.has(storage.key)) {
      throw new PickleError("it lists a storage twice, or one that nothing refers to");
    }
    const from = position + COUNT_BYTES;
    const end = from + storage.count * storage.itemSize;
    if (end > bytes.length) {
      throw new PickleError(
        `it is cut short: storage ${storage.key} ends at byte ${end}, and the file has ${bytes.length}`,
      );
    }
    const count = view.getBigInt64(position, true);
    if (count !== BigInt(storage.count)) {
      throw new PickleError(
        `its storage ${storage.key} has ${count} elements in one place and ${storage.count} in another`,
      );
    }
    contents.set(storage.key, bytes.subarray(from, end));
    position = end;
  }
  return contents;
}

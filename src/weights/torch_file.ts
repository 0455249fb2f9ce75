/**
 * Reads the state dict that a `.pth` or `.pt` file of PyTorch holds, without running any of its code.
 *
 * @module
 */
import { messageOf, UsageError } from "../base/errors.ts";
import { describe, type PickleDict, type PickleValue } from "./pickle_values.ts";
import { CopyAllowance, materialize } from "./strided.ts";
import { isLegacy, readLegacy } from "./torch_legacy.ts";
import { readTorchPickle, TensorRef } from "./torch_pickle.ts";
import { ITEM_SIZES, type TorchTensor } from "./torch_tensor.ts";
import { TorchArchive } from "./torch_zip.ts";

/** Where training scripts commonly keep the state dict in a checkpoint. */
const NESTED_KEYS = ["state_dict", "model", "model_state_dict"];
/** What DataParallel and DistributedDataParallel put before every name. */
const WRAPPER_PREFIX = "module.";
const ZIP_START = [0x50, 0x4b, 0x03, 0x04];
/** Strided tensors may take this many times the file's bytes … */
const COPY_FACTOR = 4;
/** … and this much at least. */
const COPY_MINIMUM = 16 * 2 ** 20;

/**
 * Reads a state dict: the saved dict of tensors, or one that it holds as `state_dict`, `model` or
 * `model_state_dict`. A prefix `module.` that all names share is taken off.
 *
 * @param path A file in PyTorch's zip or legacy format
 * @returns Tensors by name, in the file's order, as views into its bytes where they are contiguous
 * @throws {UsageError} when the file can't be read, is cut short, or holds anything but a state dict
 */
export async function readTorchFile(path: string): Promise<Map<string, TorchTensor>> {
  let bytes: Uint8Array;
  try {
    bytes = await Deno.readFile(path);
  } catch (error) {
    throw new UsageError(`Weights ${path} can't be read: ${messageOf(error)}`);
  }
  return await decodeTorchFile(bytes, path);
}

/**
 * {@linkcode readTorchFile} of bytes that are read already.
 *
 * @param path The file's path, for messages
 */
export async function decodeTorchFile(
  bytes: Uint8Array,
  path: string,
): Promise<Map<string, TorchTensor>> {
  try {
    return await decode(bytes);
  } catch (error) {
    throw new UsageError(
      `Weights ${path} can't be used: ${messageOf(error)}. Give a whole file that was written by ` +
        "torch.save(model.state_dict(), PATH)",
      { cause: error },
    );
  }
}

async function decode(bytes: Uint8Array): Promise<Map<string, TorchTensor>> {
  if (startsWith(bytes, ZIP_START)) {
    const archive = await TorchArchive.open(bytes);
    const { value } = readTorchPickle(archive.pickle());
    return readTensors(findStateDict(value), bytes.length, ({ storage: { storage } }) => {
      return archive.storage(storage.key, storage.count * ITEM_SIZES[storage.dtype]);
    });
  }
  if (isLegacy(bytes)) {
    const { value, contents } = readLegacy(bytes);
    return readTensors(findStateDict(value), bytes.length, ({ storage: { storage } }) => {
      const content = contents.get(storage.key);
      if (!content) throw new Error(`its storage ${storage.key} is missing`);
      return content;
    });
  }
  throw new Error(`it is no file of torch.save (${likelyKind(bytes)})`);
}

/** Reads each storage once. */
function readTensors(
  state: ReadonlyMap<string, TensorRef>,
  fileBytes: number,
  load: (tensor: TensorRef) => Uint8Array,
): Map<string, TorchTensor> {
  const loaded = new Map<string, Uint8Array>();
  const allowance = new CopyAllowance(Math.max(COPY_MINIMUM, COPY_FACTOR * fileBytes));
  const tensors = new Map<string, TorchTensor>();
  for (const [name, tensor] of state) {
    const { key } = tensor.storage.storage;
    const storage = loaded.get(key) ?? load(tensor);
    loaded.set(key, storage);
    try {
      tensors.set(name, materialize(tensor, storage, allowance));
    } catch (error) {
      throw new Error(`tensor ${JSON.stringify(name)} is malformed: ${messageOf(error)}`);
    }
  }
  return tensors;
}

function findStateDict(value: PickleValue): ReadonlyMap<string, TensorRef> {
  if (!(value instanceof Map)) throw new Error(`it holds ${describe(value)}, not a state dict`);
  const nested = NESTED_KEYS.map((key) => value.get(key)).find((inner) => inner instanceof Map);
  return withoutWrapper(tensorsOf((nested ?? value) as PickleDict));
}

function tensorsOf(dict: PickleDict): Map<string, TensorRef> {
  const tensors = new Map<string, TensorRef>();
  for (const [name, value] of dict) {
    if (typeof name !== "string" || !(value instanceof TensorRef)) {
      throw new Error(
        `it holds a dict that is no state dict: ${JSON.stringify(String(name))} is ${
          describe(value)
        }`,
      );
    }
    tensors.set(name, value);
  }
  if (tensors.size === 0) throw new Error("it holds an empty state dict");
  return tensors;
}

function withoutWrapper(tensors: ReadonlyMap<string, TensorRef>): ReadonlyMap<string, TensorRef> {
  const names = [...tensors.keys()];
  if (!names.every((name) => name.startsWith(WRAPPER_PREFIX))) return tensors;
  return new Map([...tensors].map(([name, value]) => [name.slice(WRAPPER_PREFIX.length), value]));
}

function likelyKind(bytes: Uint8Array): string {
  if (bytes.length === 0) return "it is empty";
  const start = new TextDecoder().decode(bytes.subarray(0, 40)).trimStart();
  if (start.startsWith("<")) return "it looks like a web page";
  if (start.startsWith("version https://git-lfs")) return "it is a pointer of Git LFS";
  return "its first bytes are those of neither of PyTorch's formats";
}

function startsWith(bytes: Uint8Array, start: readonly number[]): boolean {
  return start.every((byte, i) => bytes[i] === byte);
}

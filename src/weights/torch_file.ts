/**
 * Reads the state dicts that a file of PyTorch holds, without running any of its code.
 *
 * @module
 */
import { messageOf, UsageError } from "../base/errors.ts";
import { recognizeFile } from "./file_kinds.ts";
import { PickleError } from "./pickle_values.ts";
import { findStateDicts, type StateDict, type StateRefs } from "./state_dicts.ts";
import { CopyAllowance, materialize } from "./strided.ts";
import { isLegacy, readLegacy } from "./torch_legacy.ts";
import { readTorchPickle, type TensorRef } from "./torch_pickle.ts";
import type { TorchTensor } from "./torch_tensor.ts";
import { ArchiveError, isZip, TorchArchive } from "./torch_zip.ts";

/** Strided tensors may take this many times the file's bytes … */
const COPY_FACTOR = 4;
/** … and this much at least. */
const COPY_MINIMUM = 16 * 2 ** 20;
const WRITE_STATE = "give a whole file that was written by torch.save(model.state_dict(), PATH)";

/**
 * Reads the state dicts of a file in PyTorch's zip or legacy format: the saved dict of tensors, or those that it
 * holds under its keys, such as `state_dict`.
 *
 * @param path The file's path, for messages
 * @returns Their tensors as views into `bytes` where they are contiguous, else as copies
 * @throws {UsageError} when the file is cut short, malformed, or holds no state dict
 */
export async function decodeTorchFile(bytes: Uint8Array, path: string): Promise<StateDict[]> {
  try {
    return await decode(bytes);
  } catch (error) {
    const cure = error instanceof PickleError || error instanceof ArchiveError
      ? error.cure
      : undefined;
    throw new UsageError(
      `Weights ${path} can't be used: ${messageOf(error)}: ${cure ?? WRITE_STATE}`,
      { cause: error },
    );
  }
}

async function decode(bytes: Uint8Array): Promise<StateDict[]> {
  if (isZip(bytes)) {
    const archive = await TorchArchive.open(bytes);
    const { value } = readTorchPickle(archive.pickle());
    return readAll(findStateDicts(value), bytes.length, ({ storage: { storage } }) => {
      return archive.storage(storage.key, storage.count * storage.itemSize);
    });
  }
  if (isLegacy(bytes)) {
    const { value, contents } = readLegacy(bytes);
    return readAll(findStateDicts(value), bytes.length, ({ storage: { storage } }) => {
      const content = contents.get(storage.key);
      if (!content) throw new PickleError(`its storage ${storage.key} is missing`);
      return content;
    });
  }
  const { reason, cure } = recognizeFile(bytes);
  throw new PickleError(reason, cure);
}

/** Reads each storage once. */
function readAll(
  states: readonly StateRefs[],
  fileBytes: number,
  load: (tensor: TensorRef) => Uint8Array,
): StateDict[] {
  const loaded = new Map<string, Uint8Array>();
  const allowance = new CopyAllowance(Math.max(COPY_MINIMUM, COPY_FACTOR * fileBytes));
  return states.map(({ tensors, ...rest }) => {
    const read = new Map<string, TorchTensor>();
    for (const [name, tensor] of tensors) {
      const { key } = tensor.storage.storage;
      const storage = loaded.get(key) ?? load(tensor);
      loaded.set(key, storage);
      try {
        read.set(name, materialize(tensor, storage, allowance));
      } catch (error) {
        throw new PickleError(`tensor ${JSON.stringify(name)} is malformed: ${messageOf(error)}`);
      }
    }
    return { ...rest, tensors: read };
  });
}

/**
 * Reads a file of weights, whichever of the known formats it has.
 *
 * @module
 */
import { reasonOf, UsageError } from "../base/errors.ts";
import { readRegularFile } from "../base/regular_file.ts";
import { decodeSafetensorsState } from "./safetensors.ts";
import type { StateDict } from "./state_dicts.ts";
import { decodeTorchFile } from "./torch_file.ts";
import { isLegacy } from "./torch_legacy.ts";
import { isZip } from "./torch_zip.ts";

const HEADER_START = 8;
const OPEN_BRACE = 0x7b;
/** Of a header's length, the bytes that are 0 in every file: no header has 2^32 bytes. */
const ZERO_BYTES = [4, 5, 6, 7];

/**
 * Reads the state dicts of a safetensors file or of a file of PyTorch (`.pth`, `.pt`, `.ckpt`, `.bin`).
 *
 * The format is told by content alone, whatever the name.
 *
 * @throws {UsageError} when the file can't be read or isn't a whole file of weights
 */
export async function readWeights(path: string): Promise<StateDict[]> {
  let bytes: Uint8Array;
  try {
    if ((await Deno.stat(path)).isDirectory) throw new Error("it is a folder: name a file in it");
    bytes = await readRegularFile(path);
  } catch (error) {
    throw new UsageError(`Weights ${path} can't be read: ${reasonOf(error)}`);
  }
  if (!isSafetensors(bytes)) return await decodeTorchFile(bytes, path);
  const { tensors, unreadable } = decodeSafetensorsState(bytes, path);
  if (tensors.size + unreadable.size > 0) return [{ key: "", tensors, unreadable }];
  throw new UsageError(
    `Weights ${path} can't be used: it holds no tensors: give a file that a state dict was saved in`,
  );
}

/** Tells whether there is a header's length, and a header behind it or the file's end. */
function isSafetensors(bytes: Uint8Array): boolean {
  if (isZip(bytes) || isLegacy(bytes) || !ZERO_BYTES.every((at) => bytes[at] === 0)) return false;
  return bytes.length > HEADER_START
    ? bytes[HEADER_START] === OPEN_BRACE
    : bytes.length === HEADER_START;
}

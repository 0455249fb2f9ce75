/**
 * Reads a file of weights, whichever of the known formats it has.
 *
 * @module
 */
import { messageOf, UsageError } from "../base/errors.ts";
import { decodeSafetensors } from "./safetensors.ts";
import { decodeTorchFile } from "./torch_file.ts";
import type { NamedTensors } from "./torch_tensor.ts";

const HEADER_START = 8;
const OPEN_BRACE = 0x7b;

/**
 * Reads the tensors of a safetensors file or of a `.pth`/`.pt` file of PyTorch.
 *
 * The format is told by content: a safetensors file has its JSON header after 8 bytes; an extension
 * `.safetensors` decides where the content doesn't.
 *
 * @throws {UsageError} when the file can't be read or isn't a whole file of weights
 */
export async function readWeights(path: string): Promise<NamedTensors> {
  let bytes: Uint8Array;
  try {
    bytes = await Deno.readFile(path);
  } catch (error) {
    throw new UsageError(`Weights ${path} can't be read: ${messageOf(error)}`);
  }
  const isSafetensors = bytes[HEADER_START] === OPEN_BRACE || path.endsWith(".safetensors");
  return isSafetensors
    ? decodeSafetensors(bytes, path).tensors
    : await decodeTorchFile(bytes, path);
}

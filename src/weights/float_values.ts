/**
 * Tensors as float32 parameters and buffers, with checks of their values.
 *
 * @module
 */
import { LockstepError, UsageError } from "../base/errors.ts";
import { findNonFinite } from "../base/float32.ts";
import { type NamedTensors, toFloat32, type TorchDtype, type TorchTensor } from "./torch_tensor.ts";

const FLOATS: readonly TorchDtype[] = ["float32", "float64", "float16", "bfloat16"];

/** Tensors whose values are never negative: variances, and Adam's averages of squares. */
const NONNEGATIVE = /\.(running_var|exp_avg_sq)$/;

/**
 * Returns a tensor's values as finite float32, row-major.
 *
 * @param source The file or checkpoint, for messages
 * @throws {UsageError} naming the tensor when its element type is no float, a value is NaN, infinite or too large for
 * float32, or a variance is negative
 */
export function floatValues(name: string, tensor: TorchTensor, source: string): Float32Array {
  const { dtype } = tensor;
  if (!FLOATS.includes(dtype)) {
    const cure = /int8$/.test(dtype)
      ? "give the weights as they were before they were quantized"
      : "give weights of floats";
    throw new UsageError(
      `${source}: tensor ${name} is ${dtype}, and parameters are floats (${
        FLOATS.join(", ")
      }): ${cure}`,
    );
  }
  const values = toFloat32(tensor);
  const at = findNonFinite(values);
  if (at >= 0) {
    throw new UsageError(`${source}: ${nonFinite(name, tensor, at)}: give weights that are finite`);
  }
  const negative = NONNEGATIVE.test(name) ? values.findIndex((value) => value < 0) : -1;
  if (negative >= 0) {
    throw new UsageError(
      `${source}: tensor ${name} holds ${values[negative]} at ${
        positionOf(negative, tensor.shape)
      }, and a variance is never below 0: get or write the file again`,
    );
  }
  return values;
}

/**
 * Makes sure that tensors that are about to be written are finite.
 *
 * @param what Names the tensors, such as `Checkpoint last`
 * @throws {LockstepError} naming the first tensor that isn't
 */
export function requireFinite(tensors: NamedTensors, what: string): void {
  for (const [name, tensor] of tensors) {
    if (!FLOATS.includes(tensor.dtype)) continue;
    const at = findNonFinite(toFloat32(tensor));
    if (at < 0) continue;
    throw new LockstepError(
      `${what} is not written, since training has left the finite numbers: ${
        nonFinite(name, tensor, at)
      }; checkpoints that were written before stay as they are: lower train.lr, or look at train.schedule`,
    );
  }
}

/** The end of a sentence about a value that isn't finite in float32. */
function nonFinite(name: string, tensor: TorchTensor, at: number): string {
  const place = positionOf(at, tensor.shape);
  const own = tensor.dtype === "float64" ? float64At(tensor, at) : toFloat32(tensor)[at];
  return Number.isFinite(own)
    ? `tensor ${name} holds ${own} at ${place}, which is too large for float32`
    : `tensor ${name} holds ${own} at ${place}`;
}

function float64At({ data }: TorchTensor, at: number): number {
  return new DataView(data.buffer, data.byteOffset, data.byteLength).getFloat64(8 * at, true);
}

/** Returns the position of an element, such as `[0, 3]`. */
function positionOf(at: number, shape: readonly number[]): string {
  const position: number[] = [];
  let rest = at;
  for (const size of shape.toReversed()) {
    position.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return `[${position.join(", ")}]`;
}

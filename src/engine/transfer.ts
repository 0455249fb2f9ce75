/**
 * Moves tensors' bytes without fresh arrays: page faults on new memory cost more than the copy itself.
 *
 * @module
 */
import { DATA_TYPES } from "./binding/attributes.ts";
import { nativeBackend } from "./backend.ts";
import type { tf } from "./tf.ts";

const TYPES = {
  float32: DATA_TYPES.TF_FLOAT,
  int32: DATA_TYPES.TF_INT32,
  uint8: DATA_TYPES.TF_UINT8,
} as const;

/**
 * Copies a tensor's elements (little-endian, row-major) into memory that is already there.
 *
 * @throws {RangeError} when the sizes differ
 */
export function readInto(tensor: tf.Tensor, destination: Uint8Array): void {
  const backend = nativeBackend();
  backend.runtime.readInto(backend.getInputTensorIds([tensor])[0], destination);
}

/**
 * Makes a tensor of bytes, which are copied once, at the call.
 *
 * @param dtype tfjs takes uint8 for int32, so that such a tensor goes to the functions of `array_ops.ts` alone
 * @param bytes Elements, little-endian, row-major
 */
export function tensorFrom(
  shape: readonly number[],
  dtype: keyof typeof TYPES,
  bytes: Uint8Array,
): tf.Tensor {
  const backend = nativeBackend();
  const id = backend.runtime.createTensor(shape, TYPES[dtype], bytes);
  return backend.createOutputTensor({ id, shape: [...shape], dtype: TYPES[dtype] });
}

/**
 * Returns a float32 tensor that looks at memory without a copy: later writes to the memory change the tensor.
 *
 * @param memory Aligned to 64 bytes; must not be written to while an op reads it
 * @throws {RangeError} when the memory isn't aligned, or has another size
 */
export function viewOf(shape: readonly number[], memory: Uint8Array<ArrayBuffer>): tf.Tensor {
  const backend = nativeBackend();
  const id = backend.runtime.createView(shape, TYPES.float32, memory);
  return backend.createOutputTensor({ id, shape: [...shape], dtype: TYPES.float32 });
}

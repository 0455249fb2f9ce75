/**
 * Moves tensors' bytes without fresh arrays: page faults on new memory cost more than the copy itself.
 *
 * @module
 */
import { addressOf, ALIGNMENT_BYTES } from "../base/aligned_memory.ts";
import { DATA_TYPES, typeAttribute } from "./binding/attributes.ts";
import { nativeBackend } from "./backend.ts";
import type { tf } from "./tf.ts";

const TYPES = { float32: DATA_TYPES.TF_FLOAT, int32: DATA_TYPES.TF_INT32 } as const;

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

/**
 * Returns a float32 tensor that looks at memory of the GPU without a copy.
 *
 * @param address Multiple of 64; the memory must stay until the tensor is disposed of and the ops on it are done
 * @throws {RangeError} when the address isn't a multiple of 64
 */
export function deviceViewOf(shape: readonly number[], address: bigint): tf.Tensor {
  const backend = nativeBackend();
  const id = backend.runtime.createDeviceView(shape, TYPES.float32, address);
  return backend.createOutputTensor({ id, shape: [...shape], dtype: TYPES.float32 });
}

/** Returns a float32 tensor of the same values on the device that the engine computes on. */
export function placed(tensor: tf.Tensor): tf.Tensor {
  const type = typeAttribute("T", TYPES.float32);
  return nativeBackend().executeSingleOutput("Identity", [type], [tensor]);
}

/**
 * Reads a float32 or int32 tensor; on a GPU this thread goes on while the ops that make it are computed.
 *
 * @throws {EngineError} when an op that makes it fails
 */
export async function readAsync(tensor: tf.Tensor): Promise<Float32Array | Int32Array> {
  const backend = nativeBackend();
  const values = await backend.runtime.readAsync(backend.getInputTensorIds([tensor])[0]);
  return values as Float32Array | Int32Array;
}

/**
 * Returns a uint8 tensor of bytes: it looks at memory that is aligned to 64 bytes, and copies other memory. tfjs takes
 * it for int32, so that it goes to the functions of `array_ops.ts` alone.
 *
 * @param memory Must not be written to until the tensor is disposed of
 */
export function bytesTensor(shape: readonly number[], memory: Uint8Array): tf.Tensor {
  const backend = nativeBackend();
  const bytes = memory as Uint8Array<ArrayBuffer>; // its address is all that counts, shared or not
  const isAligned = bytes.length > 0 && addressOf(bytes) % BigInt(ALIGNMENT_BYTES) === 0n;
  const id = isAligned
    ? backend.runtime.createView(shape, DATA_TYPES.TF_UINT8, bytes)
    : backend.runtime.createTensor(shape, DATA_TYPES.TF_UINT8, bytes);
  return backend.createOutputTensor({ id, shape: [...shape], dtype: DATA_TYPES.TF_UINT8 });
}

/**
 * Returns a uint8 tensor that looks at memory of the GPU, for the functions of `array_ops.ts`; otherwise as
 * {@linkcode deviceViewOf}.
 */
export function deviceBytes(shape: readonly number[], address: bigint): tf.Tensor {
  const backend = nativeBackend();
  const id = backend.runtime.createDeviceView(shape, DATA_TYPES.TF_UINT8, address);
  return backend.createOutputTensor({ id, shape: [...shape], dtype: DATA_TYPES.TF_UINT8 });
}

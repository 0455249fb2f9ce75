/**
 * Memory of this process that TensorFlow can use without a copy.
 *
 * @module
 */

/** TensorFlow's `EIGEN_MAX_ALIGN_BYTES`: it copies tensors with another alignment. */
export const ALIGNMENT_BYTES = 64;

/** Allocates zeros at a multiple of {@linkcode ALIGNMENT_BYTES}. */
export function alignedBytes(bytes: number): Uint8Array<ArrayBuffer> {
  const memory = new Uint8Array(bytes + ALIGNMENT_BYTES);
  const past = Number(addressOf(memory) % BigInt(ALIGNMENT_BYTES));
  return memory.subarray(ALIGNMENT_BYTES - past, ALIGNMENT_BYTES - past + bytes);
}

/** Returns the start address of a view. */
export function addressOf(memory: Uint8Array<ArrayBuffer>): bigint {
  return Deno.UnsafePointer.value(Deno.UnsafePointer.of(memory));
}

/**
 * Memory of this process that TensorFlow can work on without a copy.
 *
 * @module
 */

/** TensorFlow's `EIGEN_MAX_ALIGN_BYTES`: it copies tensors that begin elsewhere. */
export const ALIGNMENT_BYTES = 64;

/** Zeros that begin at a multiple of {@linkcode ALIGNMENT_BYTES}. */
export function alignedBytes(bytes: number): Uint8Array<ArrayBuffer> {
  const memory = new Uint8Array(bytes + ALIGNMENT_BYTES);
  const past = Number(addressOf(memory) % BigInt(ALIGNMENT_BYTES));
  return memory.subarray(ALIGNMENT_BYTES - past, ALIGNMENT_BYTES - past + bytes);
}

/** Returns the address at which a view begins. */
export function addressOf(memory: Uint8Array<ArrayBuffer>): bigint {
  return Deno.UnsafePointer.value(Deno.UnsafePointer.of(memory));
}

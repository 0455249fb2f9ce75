/**
 * Ranges of a flat vector of float32 values.
 *
 * @module
 */

/** A range of floats. */
export interface FloatRange {
  readonly begin: number;
  readonly end: number;
}

/** Floats of a cache line, and of what TensorFlow asks memory to be aligned to: 64 bytes. */
export const LINE_FLOATS = 16;

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

/** Bytes as floats; they begin at a multiple of 4. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / FLOAT_BYTES);
}

/** The bytes of a range. */
export function bytesIn<T extends ArrayBufferLike>(
  vector: Uint8Array<T>,
  { begin, end }: FloatRange,
): Uint8Array<T> {
  return vector.subarray(FLOAT_BYTES * begin, FLOAT_BYTES * end);
}

/** Returns the intersection of two ranges; an empty range when they have nothing in common. */
export function overlap(a: FloatRange, b: FloatRange): FloatRange {
  const begin = Math.max(a.begin, b.begin);
  return { begin, end: Math.max(begin, Math.min(a.end, b.end)) };
}

/**
 * The part of a vector that a rank works on: parts begin at cache lines, and the last ranks may have none of a
 * short vector.
 */
export function shardOf(rank: number, worldSize: number, vectorBytes: number): FloatRange {
  const floats = vectorBytes / FLOAT_BYTES;
  const lines = Math.ceil(floats / LINE_FLOATS);
  const at = (index: number) =>
    Math.min(floats, Math.floor(index * lines / worldSize) * LINE_FLOATS);
  return { begin: at(rank), end: at(rank + 1) };
}

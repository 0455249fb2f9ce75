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

/** Floats of 64 bytes: a cache line, and the alignment of TensorFlow's memory. */
export const LINE_FLOATS = 16;

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

/** Returns a range of bytes as a range of floats; the bytes begin at a multiple of 4. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / FLOAT_BYTES);
}

/** Returns the bytes of a range. */
export function bytesIn<T extends ArrayBufferLike>(
  vector: Uint8Array<T>,
  { begin, end }: FloatRange,
): Uint8Array<T> {
  return vector.subarray(FLOAT_BYTES * begin, FLOAT_BYTES * end);
}

/** Returns the intersection of two ranges; an empty range when they are disjoint. */
export function overlap(a: FloatRange, b: FloatRange): FloatRange {
  const begin = Math.max(a.begin, b.begin);
  return { begin, end: Math.max(begin, Math.min(a.end, b.end)) };
}

/**
 * The part of a vector that a rank works on. Parts begin at cache lines, so that the last ranks' parts of a short
 * vector may be empty.
 */
export function shardOf(rank: number, worldSize: number, vectorBytes: number): FloatRange {
  const floats = vectorBytes / FLOAT_BYTES;
  const lines = Math.ceil(floats / LINE_FLOATS);
  const at = (index: number) =>
    Math.min(floats, Math.floor(index * lines / worldSize) * LINE_FLOATS);
  return { begin: at(rank), end: at(rank + 1) };
}

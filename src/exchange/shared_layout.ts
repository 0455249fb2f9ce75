/**
 * What stands where in the memory that the ranks of one machine share: a slot for each rank's vector, then the
 * sum; and which part of the sum each rank makes.
 *
 * @module
 */

/** Slots begin at pages; parts of the sum at cache lines, so that no two ranks write into one. */
const PAGE = 4096;
const LINE_FLOATS = 16;

const FLOAT_BYTES = 4;

/** A range of floats. */
export interface FloatRange {
  readonly begin: number;
  readonly end: number;
}

/** Bytes of the whole segment. */
export function segmentBytes(worldSize: number, vectorBytes: number): number {
  return slotsOf(worldSize) * slotBytes(vectorBytes);
}

/** The ranks' vectors, in order, and their sum, in a mapped segment; the sum of one vector is that vector. */
export function viewsOf(
  segment: Uint8Array<ArrayBuffer>,
  worldSize: number,
  vectorBytes: number,
): { vectors: Uint8Array<ArrayBuffer>[]; sum: Uint8Array<ArrayBuffer> } {
  const views = Array.from({ length: slotsOf(worldSize) }, (_, slot) => {
    const begin = slot * slotBytes(vectorBytes);
    return segment.subarray(begin, begin + vectorBytes);
  });
  return { vectors: views.slice(0, worldSize), sum: views.at(-1)! };
}

/** The part of the sum that a rank makes; the last ranks may have none of a short one. */
export function shardOf(rank: number, worldSize: number, vectorBytes: number): FloatRange {
  const floats = vectorBytes / FLOAT_BYTES;
  const lines = Math.ceil(floats / LINE_FLOATS);
  const at = (index: number) =>
    Math.min(floats, Math.floor(index * lines / worldSize) * LINE_FLOATS);
  return { begin: at(rank), end: at(rank + 1) };
}

function slotsOf(worldSize: number): number {
  return worldSize === 1 ? 1 : worldSize + 1;
}

function slotBytes(vectorBytes: number): number {
  return Math.ceil(vectorBytes / PAGE) * PAGE;
}

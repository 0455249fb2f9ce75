/**
 * The layout of the memory that the ranks of one machine share: a slot for each rank's vector, then the
 * regions that they have in common.
 *
 * @module
 */

/** Semaphore begin at pages. */
const PAGE = 4096;

/** The shape of a segment's contents. */
export interface SegmentShape {
  readonly worldSize: number;
  /** Length of every vector. */
  readonly vectorBytes: number;
  /** Vectors that all ranks have in common. */
  readonly regions: number;
}

/** Bytes of the whole segment. */
export function segmentBytes({ worldSize, vectorBytes, regions }: SegmentShape): number {
  return (worldSize + regions) * slotBytes(vectorBytes);
}

/** The ranks' vectors, in order, and the regions, in a mapped segment. */
export function viewsOf(
  segment: Uint8Array<ArrayBuffer>,
  { worldSize, vectorBytes, regions }: SegmentShape,
): { vectors: Uint8Array<ArrayBuffer>[]; regions: Uint8Array<ArrayBuffer>[] } {
  const views = Array.from({ length: worldSize + regions }, (_, slot) => {
    const begin = slot * slotBytes(vectorBytes);
    return segment.subarray(begin, begin + vectorBytes);
  });
  return { vectors: views.slice(0, worldSize), regions: views.slice(worldSize) };
}

function slotBytes(vectorBytes: number): number {
  return Math.ceil(vectorBytes / PAGE) * PAGE;
}

/**
 * The layout of the memory that the ranks of one machine share: their meeting place, a slot for each rank's vector,
 * and the regions that they have in common.
 *
 * @module
 */
import { meetingBytes } from "./meeting.ts";

/** Vectors and regions begin at pages. */
const PAGE = 4096;

/** The shape of a segment's contents. */
export interface SegmentShape {
  readonly worldSize: number;
  /** Length of every vector. */
  readonly vectorBytes: number;
  /** Vectors that all ranks have in common. */
  readonly regions: number;
}

/** The parts of a mapped segment. */
export interface SegmentViews {
  readonly meeting: Uint8Array<ArrayBuffer>;
  /** The ranks' vectors, in order. */
  readonly vectors: Uint8Array<ArrayBuffer>[];
  readonly regions: Uint8Array<ArrayBuffer>[];
}

/** Bytes of the whole segment. */
export function segmentBytes({ worldSize, vectorBytes, regions }: SegmentShape): number {
  return meetingBytes(worldSize) + (worldSize + regions) * slotBytes(vectorBytes);
}

/** The parts of a mapped segment, which may be longer than the shape demands. */
export function viewsOf(
  segment: Uint8Array<ArrayBuffer>,
  { worldSize, vectorBytes, regions }: SegmentShape,
): SegmentViews {
  const begin = meetingBytes(worldSize);
  const slots = Array.from({ length: worldSize + regions }, (_, slot) => {
    const at = begin + slot * slotBytes(vectorBytes);
    return segment.subarray(at, at + vectorBytes);
  });
  return {
    meeting: segment.subarray(0, begin),
    vectors: slots.slice(0, worldSize),
    regions: slots.slice(worldSize),
  };
}

function slotBytes(vectorBytes: number): number {
  return Math.ceil(vectorBytes / PAGE) * PAGE;
}

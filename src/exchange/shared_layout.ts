/**
 * The layout of the memory that the ranks of one machine share: their meeting place, slots for the ranks' vectors,
 * and the regions that they have in common.
 *
 * @module
 */
import { meetingBytes } from "./meeting.ts";

/** Vectors and regions begin at pages. */
const PAGE = 4096;

/** Versions of a region. */
const VERSIONS = 2;

/** The shape of a segment's contents. */
export interface SegmentShape {
  readonly worldSize: number;
  /** Length of every vector. */
  readonly vectorBytes: number;
  /** Vectors that all ranks have in common, each in two versions. */
  readonly regions: number;
  /** Bytes of all ranks' vectors together up to which each rank adds up all of them (default 1 MiB). */
  readonly maxWholeBytes?: number;
}

/** The parts of a mapped segment. */
export interface SegmentViews {
  readonly meeting: Uint8Array<ArrayBuffer>;
  /** The ranks' vectors, in order; twice where the ranks use two slots in turn. */
  readonly slots: readonly (readonly Uint8Array<ArrayBuffer>[])[];
  /** The two versions of each; none where each rank has regions of its own. */
  readonly regions: readonly (readonly [Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>])[];
}

/** Bytes up to which two more meetings cost more than they save: measured with 2 and with 32 ranks. */
const MAX_WHOLE_BYTES = 2 ** 20;

/** Tells whether each rank makes the whole sum, and updates everything in memory of its own. */
export function sumsWhole(
  { worldSize, vectorBytes, maxWholeBytes = MAX_WHOLE_BYTES }: SegmentShape,
): boolean {
  return worldSize > 1 && worldSize * vectorBytes <= maxWholeBytes;
}

/** Bytes of the whole segment, in which shorter vectors have room, too. */
export function segmentBytes(
  { worldSize, vectorBytes, regions, maxWholeBytes = MAX_WHOLE_BYTES }: SegmentShape,
): number {
  const shared = (worldSize + VERSIONS * regions) * slotBytes(vectorBytes);
  const longestWhole = Math.min(vectorBytes, maxWholeBytes / worldSize);
  const whole = worldSize > 1 ? 2 * worldSize * slotBytes(longestWhole) : 0;
  return meetingBytes(worldSize) + Math.max(shared, whole);
}

/** The parts of a mapped segment, which may be longer than the shape demands. */
export function viewsOf(
  segment: Uint8Array<ArrayBuffer>,
  shape: SegmentShape,
): SegmentViews {
  const { worldSize, vectorBytes, regions } = shape;
  const begin = meetingBytes(worldSize);
  const slotAt = (slot: number) => {
    const at = begin + slot * slotBytes(vectorBytes);
    return segment.subarray(at, at + vectorBytes);
  };
  const slotsFrom = (first: number) =>
    Array.from({ length: worldSize }, (_, rank) => slotAt(first + rank));
  const isWhole = sumsWhole(shape);
  return {
    meeting: segment.subarray(0, begin),
    slots: isWhole ? [slotsFrom(0), slotsFrom(worldSize)] : [slotsFrom(0)],
    regions: Array.from({ length: isWhole ? 0 : regions }, (_, region) => {
      const first = worldSize + VERSIONS * region;
      return [slotAt(first), slotAt(first + 1)];
    }),
  };
}

function slotBytes(vectorBytes: number): number {
  return Math.ceil(vectorBytes / PAGE) * PAGE;
}

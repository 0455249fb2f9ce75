/**
 * The memory of one rank's steps. A replica and its exchange work on the same buffers, which are made once.
 *
 * @module
 */
import { itemAt } from "../base/item_at.ts";
import { alignedBytes } from "../base/aligned_memory.ts";
import { type FloatRange, shardOf } from "../base/float_range.ts";
import type { WireFormat } from "./chunks.ts";
import type { SegmentShape } from "./shared_layout.ts";

/** Vectors of one layout: float32 values, little-endian, aligned to 64 bytes. */
export interface StepBuffers {
  /** This rank's gradients, then its running statistics; the exchange reads them. */
  readonly vector: Uint8Array<ArrayBuffer>;
  /**
   * The sum over the ranks r, in their order, of (w_r / W) · vector_r, in the range {@linkcode StepBuffers.shard}:
   * with weights w_r that add up to W, the samples' weights for gradients (all 0 where W is 0), the rows that count
   * for the running statistics behind them. May be the memory of the vector, or of a region.
   */
  readonly reduced: Uint8Array<ArrayBuffer>;
  /**
   * Vectors for the ranks' results: each rank writes its shard, and all shards are there after an all-gather. The
   * first one holds the values, the next one their averages where such are kept.
   */
  readonly regions: readonly Uint8Array<ArrayBuffer>[];
  /** The range that this rank updates: all of it where every rank gets the whole sum. */
  readonly shard: FloatRange;
  /**
   * The vectors of all ranks, in order, where they are in memory that this rank sees; two such lists where they are
   * used in turn, and the rank's vector is copied into its slot.
   */
  readonly peers?: readonly (readonly Uint8Array<ArrayBuffer>[])[];
  /** The meeting place of the ranks, where they share memory (see `meeting.ts`). */
  readonly meeting?: Uint8Array<ArrayBuffer>;
}

/** The shape of a run's exchange: its world size, its vectors, and the format of the gradients. */
export interface ExchangeShape extends SegmentShape {
  /** The format of the gradients over NATS; float32 unless given. */
  readonly wire?: WireFormat;
}

/** The shape of one rank's buffers. */
export interface RankShape extends ExchangeShape {
  readonly rank: number;
  /** Put the sum into the first region, for those who want the sum itself and update nothing. */
  readonly sumInRegion?: boolean;
}

/** Floats of a vector that are gradients; running statistics follow. */
export function gradientFloats(
  { vectorBytes, wire }: Pick<ExchangeShape, "vectorBytes" | "wire">,
): number {
  return (wire?.gradientBytes ?? vectorBytes) / Float32Array.BYTES_PER_ELEMENT;
}

/** Makes the buffers of a rank that gets the whole sum, in memory of its own. */
export function ownBuffers(
  { vectorBytes, regions: count, sumInRegion = false }: RankShape,
): StepBuffers {
  const regions = Array.from({ length: count }, () => alignedBytes(vectorBytes));
  return {
    vector: alignedBytes(vectorBytes),
    reduced: sumInRegion ? itemAt(regions, 0) : alignedBytes(vectorBytes),
    regions,
    shard: shardOf(0, 1, vectorBytes),
  };
}

/** Makes the buffers of a replica that is alone: its gradients are their own sum. */
export function loneBuffers(vectorBytes: number, regions: number): StepBuffers {
  const vector = alignedBytes(vectorBytes);
  return {
    vector,
    reduced: vector,
    regions: Array.from({ length: regions }, () => alignedBytes(vectorBytes)),
    shard: shardOf(0, 1, vectorBytes),
  };
}

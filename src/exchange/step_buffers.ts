/**
 * The memory of one rank's steps. A replica and its exchange work on the same buffers, which are made once.
 *
 * @module
 */
import { itemAt } from "../base/item_at.ts";
import { alignedBytes } from "../base/aligned_memory.ts";
import { type FloatRange, shardOf } from "../base/float_range.ts";
import { allocateDeviceMemory, type DeviceMemory, hostMemory } from "../engine/device_memory.ts";
import { VersionedMemory } from "../engine/versioned_memory.ts";
import type { WireFormat } from "./chunks.ts";
import type { HostLink } from "./host_link.ts";
import type { SegmentShape } from "./shared_layout.ts";

/** Vectors of one layout: float32 values, little-endian. */
export interface StepBuffers {
  /** This rank's gradients, then its running statistics; the exchange reads them. */
  readonly vector: DeviceMemory;
  /**
   * The sum over the ranks r, in their order, of (w_r / W) · vector_r, in the range {@linkcode StepBuffers.shard}:
   * with weights w_r that add up to W, the samples' weights for gradients (all 0 where W is 0), the rows that count
   * for the running statistics behind them. May be the memory of the vector, or of a region.
   */
  readonly reduced: DeviceMemory;
  /**
   * The state that a step changes: the values, then the optimizer's tensors, then the averages of the values where such
   * are kept. Each rank writes its shard of the next versions; all shards are there after an all-gather.
   */
  readonly regions: readonly VersionedMemory[];
  /** The range that this rank updates: all of it where every rank gets the whole sum. */
  readonly shard: FloatRange;
  /**
   * The vectors of all ranks, in order, where they are in memory that this rank sees; two such lists where they are
   * used in turn, and the rank's vector is copied into its slot.
   */
  readonly peers?: readonly (readonly Uint8Array<ArrayBuffer>[])[];
  /** The memory of the host in which the ranks make the sum, where {@linkcode StepBuffers.reduced} is a GPU's. */
  readonly sum?: Uint8Array<ArrayBuffer> | undefined;
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
  /** Among the ranks of this host, as their number is of this host. */
  readonly rank: number;
  /** The other hosts, where the ranks of this one, who share memory, are not all. */
  readonly hosts?: HostLink | undefined;
  /** Put the sum into the first region's first version, for those who want the sum itself and update nothing. */
  readonly sumInRegion?: boolean;
}

/** Floats of a vector that are gradients; running statistics follow. */
export function gradientFloats(
  { vectorBytes, wire }: Pick<ExchangeShape, "vectorBytes" | "wire">,
): number {
  return (wire?.gradientBytes ?? vectorBytes) / Float32Array.BYTES_PER_ELEMENT;
}

/** The shards of all ranks, in order: the ranges of a sum that a rank gets whole. */
export function rankShards(
  { worldSize, vectorBytes }: Pick<ExchangeShape, "worldSize" | "vectorBytes">,
): FloatRange[] {
  return Array.from({ length: worldSize }, (_, rank) => shardOf(rank, worldSize, vectorBytes));
}

/** Makes the buffers of a rank that gets the whole sum, in memory of its own, on the engine's device. */
export function ownBuffers(
  { vectorBytes, regions: count, sumInRegion = false }: RankShape,
): StepBuffers {
  const regions = ownRegions(vectorBytes, count);
  return {
    vector: allocateDeviceMemory(vectorBytes),
    reduced: sumInRegion ? itemAt(regions, 0).current : allocateDeviceMemory(vectorBytes),
    regions,
    shard: shardOf(0, 1, vectorBytes),
  };
}

/** Frees the memory of buffers, where it is a GPU's; no tensor may look at it any more. */
export function disposeBuffers({ vector, reduced, regions }: StepBuffers): void {
  for (const memory of [vector, reduced, ...regions]) memory[Symbol.dispose]();
}

/** Makes a vector and its sum in memory of the CPU, whatever the engine's device is, for an exchange by messages. */
export function hostVectors({ vectorBytes }: Pick<RankShape, "vectorBytes">): StepBuffers {
  const make = () => hostMemory(alignedBytes(vectorBytes));
  return { vector: make(), reduced: make(), regions: [], shard: shardOf(0, 1, vectorBytes) };
}

/** Makes the buffers of a replica that is alone, on the engine's device: its gradients are their own sum. */
export function loneBuffers(vectorBytes: number, regions: number): StepBuffers {
  const vector = allocateDeviceMemory(vectorBytes);
  return {
    vector,
    reduced: vector,
    regions: ownRegions(vectorBytes, regions),
    shard: shardOf(0, 1, vectorBytes),
  };
}

function ownRegions(vectorBytes: number, count: number): VersionedMemory[] {
  const make = () => allocateDeviceMemory(vectorBytes);
  return Array.from({ length: count }, () => new VersionedMemory(make(), make));
}

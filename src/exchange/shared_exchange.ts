/**
 * The worker's end of the all-reduce in memory that all ranks of a machine share.
 *
 * Each rank computes its gradients in a slot of its own. When all have, each adds its shard of all slots, in rank
 * order. When all have, each updates its shard of the parameters in the region that all have in common. The ranks
 * meet in that memory (see `meeting.ts`) and each computes the step's result from all ranks' records, in rank order:
 * no message is sent.
 *
 * To meet takes longer than to add up short vectors. Each rank therefore adds up all of them, and updates parameters of
 * its own: the ranks meet once in a step instead of three times. Two slots for each rank, used in turn, let a rank
 * contribute to the next step while another one still reads.
 *
 * @module
 */
import { faultPoint, isFaultPoint } from "../base/fault_point.ts";
import { type FloatRange, floatsOf, shardOf } from "../base/float_range.ts";
import { itemAt } from "../base/item_at.ts";
import { hostMemory, hostOf } from "../engine/device_memory.ts";
import { VersionedMemory } from "../engine/versioned_memory.ts";
import { isGpuOpen } from "../engine/native_runtime.ts";
import type { GradientExchange, StepResult } from "./gradient_exchange.ts";
import type { HostRecord } from "./host_link.ts";
import { LoneExchange } from "./lone_exchange.ts";
import { MeetingEnd } from "./meeting_end.ts";
import { PinnedExchange } from "./pinned_exchange.ts";
import type { ExchangeLink, RankEndOptions } from "./rank_end.ts";
import { viewsOf } from "./shared_layout.ts";
import { ShardSum, type SumVerdict } from "./shard_sum.ts";
import {
  gradientFloats,
  loneBuffers,
  ownBuffers,
  type RankShape,
  rankShards,
  type StepBuffers,
} from "./step_buffers.ts";
import { type SumWeights, verdictOf } from "./totals.ts";

/**
 * Makes a rank's buffers in the memory of a run.
 *
 * @param segment The mapped memory, of `segmentBytes` (see `shared_layout.ts`)
 */
export function makeBuffers(
  shape: RankShape,
  segment: Uint8Array<ArrayBuffer> | undefined,
): StepBuffers {
  if (!segment) throw new TypeError("An exchange in shared memory without a segment");
  const { rank, worldSize, vectorBytes, sumInRegion = false } = shape;
  const { meeting, slots, regions: pairs } = viewsOf(segment, shape);
  if (isGpuOpen()) {
    const sum = pairs[0]?.[0];
    return worldSize === 1 && !sumInRegion
      ? { ...loneBuffers(vectorBytes, shape.regions), meeting }
      : { ...ownBuffers(shape), peers: slots, sum, meeting };
  }
  if (slots.length > 1) return { ...ownBuffers(shape), peers: slots, meeting };
  const vector = hostMemory(itemAt(itemAt(slots, 0), rank));
  const regions = pairs.map(([a, b]) => new VersionedMemory(hostMemory(a), hostMemory(b)));
  return {
    vector,
    reduced: sumInRegion ? itemAt(regions, 0).current : vector,
    regions,
    shard: shardOf(rank, worldSize, vectorBytes),
    peers: slots,
    meeting,
  };
}

/**
 * Joins the other ranks.
 *
 * @throws {LockstepError} When processes can't wait for each other on this system
 */
export function openExchange(
  _link: ExchangeLink,
  options: RankEndOptions,
): Promise<GradientExchange> {
  const { buffers } = options;
  if (buffers.vector.host) return Promise.resolve(new SharedGradientExchange(options));
  return Promise.resolve(
    buffers.peers ? new PinnedExchange(options, buffers.peers) : new LoneExchange(options),
  );
}

/** All-reduce in shared memory. */
export class SharedGradientExchange extends MeetingEnd {
  protected override readonly ranges: readonly FloatRange[];
  protected override readonly waits: { readonly summed: boolean; readonly committed: boolean };
  /** The sum, by the step's number modulo 1 or 2: of the slots that are used in turn. */
  readonly #sums: readonly ShardSum[];
  /** This rank's slots where its vector is copied into them. */
  readonly #copies: readonly Float32Array[] | undefined;
  readonly #vector: Float32Array;

  constructor(options: RankEndOptions) {
    super(options);
    const { rank, buffers } = options;
    const { vector, reduced, shard, peers } = buffers;
    if (!peers) {
      throw new TypeError("An exchange in shared memory without the memory of the other ranks");
    }
    this.#vector = floatsOf(hostOf(vector));
    const own = reduced === vector ? rank : undefined;
    this.#sums = peers.map((slots) =>
      new ShardSum(
        floatsOf(hostOf(reduced)),
        slots.map(floatsOf),
        shard,
        gradientFloats(options),
        own,
      )
    );
    const isWhole = peers.length > 1;
    this.#copies = isWhole ? peers.map((slots) => floatsOf(itemAt(slots, rank))) : undefined;
    this.ranges = isWhole ? rankShards(options) : [shard];
    this.waits = { summed: !isWhole, committed: !isWhole };
  }

  protected override prepare(index: number): undefined {
    if (this.#copies) copyWhole(this.#vector, itemAt(this.#copies, index % this.#copies.length));
  }

  protected override sum(
    index: number,
    weights: SumWeights,
    signal: AbortSignal | undefined,
  ): SumVerdict | Promise<SumVerdict> {
    const sum = itemAt(this.#sums, index % this.#sums.length);
    return this.hosts ? sum.makeWith(this.hosts, weights, signal) : sum.make(weights);
  }

  protected override result(
    records: readonly HostRecord[],
    share: SumVerdict,
    squares: number,
  ): Pick<StepResult, "finite" | "squares"> {
    if (!this.#copies) {
      // The ranks of any host have all shards together: all hosts take the squares of the first one.
      const shards = records.slice(0, this.hosts?.ranks[0]);
      const sum = shards.reduce((all, record) => all + record.squares, 0);
      return { finite: verdictOf(records).finite, squares: sum };
    }
    const finite = share.finite && records.every(({ lossSum }) => Number.isFinite(lossSum));
    return { finite, squares };
  }
}

/** Copies a vector into its slot. */
function copyWhole(vector: Float32Array, slot: Float32Array): void {
  if (isFaultPoint("slot")) {
    slot.set(vector.subarray(0, vector.length >> 1));
    faultPoint("slot");
  }
  slot.set(vector);
}

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
import { orAborted } from "../base/async.ts";
import { faultPoint, isFaultPoint } from "../base/fault_point.ts";
import { type FloatRange, floatsOf, shardOf } from "../base/float_range.ts";
import { itemAt } from "../base/item_at.ts";
import { hostMemory, hostOf } from "../engine/device_memory.ts";
import { VersionedMemory } from "../engine/versioned_memory.ts";
import { isGpuOpen } from "../engine/native_runtime.ts";
import type { GradientExchange, StepContribution, StepResult } from "./gradient_exchange.ts";
import type { HostRecord } from "./host_link.ts";
import { LoneExchange } from "./lone_exchange.ts";
import { PinnedExchange } from "./pinned_exchange.ts";
import type { ExchangeLink, RankEndOptions } from "./rank_end.ts";
import { viewsOf } from "./shared_layout.ts";
import type { SumVerdict } from "./shard_sum.ts";
import { SlotSumEnd } from "./slot_sum_end.ts";
import type { SumWeights } from "./totals.ts";
import {
  loneBuffers,
  ownBuffers,
  type RankShape,
  rankShards,
  type StepBuffers,
} from "./step_buffers.ts";

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
  const { rank, worldSize, vectorBytes, sumInRegion = false, hosts } = shape;
  const { meeting, slots, regions: pairs } = viewsOf(segment, shape);
  if (isGpuOpen()) {
    const sum = pairs[0]?.[0];
    return worldSize === 1 && !sumInRegion && !hosts
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
export class SharedGradientExchange extends SlotSumEnd {
  protected override readonly ranges: readonly FloatRange[];
  protected override readonly waits: { readonly summed: boolean; readonly committed: boolean };
  /** This rank's slots where its vector is copied into them. */
  readonly #copies: readonly Float32Array[] | undefined;
  readonly #vector: Float32Array;
  /**
   * As in `GradientExchange`; missing where this host has all ranks: what they would sum early takes less time than
   * their meeting.
   */
  readonly offer?: (contribution: StepContribution, begin: number) => void;
  /** The sum that has begun before the vector is whole. */
  #early: Promise<SumVerdict> | undefined;

  constructor(options: RankEndOptions) {
    const { rank, buffers: { vector, reduced, shard, peers } } = options;
    if (!peers) {
      throw new TypeError("An exchange in shared memory without the memory of the other ranks");
    }
    const own = reduced === vector ? rank : undefined;
    super(options, { slots: peers, sum: hostOf(reduced), range: shard, own });
    this.#vector = floatsOf(hostOf(vector));
    this.#copies = this.isWhole ? peers.map((slots) => floatsOf(itemAt(slots, rank))) : undefined;
    this.ranges = this.isWhole ? rankShards(options) : [shard];
    this.waits = { summed: !this.isWhole, committed: !this.isWhole };
    if (this.hosts) this.offer = (own, begin) => this.#offer(own, begin);
  }

  protected override sum(
    ...[index, weights, signal]: [number, SumWeights, AbortSignal | undefined]
  ): SumVerdict | Promise<SumVerdict> {
    const early = this.#early;
    if (!early) return super.sum(index, weights, signal);
    this.#early = undefined;
    return orAborted(early, signal);
  }

  override async reduceScatter(
    contribution: StepContribution,
    signal?: AbortSignal,
  ): Promise<readonly FloatRange[]> {
    if (this.isOffering) this.meeting.offer(this.rank, 0);
    return await super.reduceScatter(contribution, signal);
  }

  #offer(own: StepContribution, begin: number): void {
    if (this.isOffering) return this.meeting.offer(this.rank, begin);
    const step = this.beginOffering(own, begin);
    this.#early = this.weightsOf(step).then((weights) => super.sum(step.index, weights, undefined));
    this.#early.catch(() => {}); // reduceScatter() throws it
  }

  protected override prepare(index: number): undefined {
    if (this.#copies) copyWhole(this.#vector, itemAt(this.#copies, index % this.#copies.length));
  }

  protected override result(
    records: readonly HostRecord[],
    share: SumVerdict,
    squares: number,
  ): Pick<StepResult, "finite" | "squares"> {
    const finite = this.isFinite(records, share);
    if (this.isWhole) return { finite, squares };
    // The ranks of any host have all shards together: all hosts take the squares of the first one.
    const shards = records.slice(0, this.hosts?.ranks[0]);
    return { finite, squares: shards.reduce((all, record) => all + record.squares, 0) };
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

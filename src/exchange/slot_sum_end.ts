/**
 * A rank's end of an all-reduce whose ranks add up their vectors where these lie in memory that they share.
 *
 * Each rank adds its shard of all slots, or all of them where vectors are short. Two slots for each rank are used in
 * turn then: a rank contributes to the next step while another one still reads.
 *
 * @module
 */
import { type FloatRange, floatsOf } from "../base/float_range.ts";
import { itemAt } from "../base/item_at.ts";
import type { HostRecord } from "./host_link.ts";
import { MeetingEnd } from "./meeting_end.ts";
import type { RankEndOptions } from "./rank_end.ts";
import { ShardSum, type SumVerdict } from "./shard_sum.ts";
import { gradientFloats } from "./step_buffers.ts";
import { type SumWeights, verdictOf } from "./totals.ts";

/** The vectors that a rank adds up, and the place of their sum. */
export interface SlotSums {
  /** As `StepBuffers.peers`. */
  readonly slots: readonly (readonly Uint8Array<ArrayBuffer>[])[];
  /** The memory of the sum. */
  readonly sum: Uint8Array<ArrayBuffer>;
  /** The range that this rank adds. */
  readonly range: FloatRange;
  /** The rank whose slot is the memory of the sum, if one is. */
  readonly own?: number | undefined;
}

/** An end that adds up slots. */
export abstract class SlotSumEnd extends MeetingEnd {
  /** True where each rank makes the whole sum. */
  protected readonly isWhole: boolean;
  /** By the step's number modulo 1 or 2: of the slots that are used in turn. */
  readonly #sums: readonly ShardSum[];

  protected constructor(options: RankEndOptions, { slots, sum, range, own }: SlotSums) {
    super(options);
    this.isWhole = slots.length > 1;
    this.#sums = slots.map((ranks) =>
      new ShardSum(floatsOf(sum), ranks.map(floatsOf), range, gradientFloats(options), own)
    );
  }

  /** With as many ranks on each host, their shards are the same, and so are the sums in them. */
  protected override get hasSameResults(): boolean {
    const ranks = this.hosts?.ranks ?? [];
    return ranks.every((count) => count === ranks[0]);
  }

  protected override sum(
    index: number,
    weights: SumWeights,
    signal: AbortSignal | undefined,
  ): SumVerdict | Promise<SumVerdict> {
    const sum = itemAt(this.#sums, index % this.#sums.length);
    if (!this.hosts) return sum.make(weights);
    // Other ranks may offer their vectors in parts, though this one did not.
    const untilOffered = (begin: number) => this.untilOffered(begin, signal);
    return sum.makeWith(this.hosts, weights, signal, untilOffered);
  }

  /** True when the whole sum and all losses are finite: known from the own sum where that is whole. */
  protected isFinite(records: readonly HostRecord[], share: SumVerdict): boolean {
    return this.isWhole
      ? share.finite && records.every(({ lossSum }) => Number.isFinite(lossSum))
      : verdictOf(records).finite;
  }
}

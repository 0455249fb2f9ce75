/**
 * The worker's end of the all-reduce in memory that all ranks of a machine share.
 *
 * Each rank computes its gradients in a slot of its own. When all have, each adds its shard of all slots, in rank
 * order. When all have, each updates its shard of the parameters in the region that all have in common. The ranks
 * meet in that memory (see `meeting.ts`) and each computes the step's result from all ranks' records, in rank order:
 * no message is sent.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { type FloatRange, floatsOf, overlap, shardOf } from "../base/float_range.ts";
import { itemAt } from "../base/item_at.ts";
import { compareSteps, type StepKey } from "../base/step_key.ts";
import { checkContribution } from "./check_contribution.ts";
import type { GradientExchange, StepContribution, StepResult } from "./gradient_exchange.ts";
import { Meeting, type WaitOptions } from "./meeting.ts";
import type { ExchangeLink, RankEndOptions } from "./rank_end.ts";
import { viewsOf } from "./shared_layout.ts";
import { noArrival, RANK_TIMEOUT_MS } from "./silence.ts";
import { gradientFloats, type RankShape, type StepBuffers } from "./step_buffers.ts";
import type { ShareResult, StepRecord } from "./step_record.ts";
import { addCounts, type GlobalCounts, type SumWeights, sumWeights, verdictOf } from "./totals.ts";
import { allFinite, weightedSum } from "./weighted_sum.ts";

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
  const { meeting, vectors, regions } = viewsOf(segment, shape);
  const vector = itemAt(vectors, rank);
  return {
    vector,
    reduced: sumInRegion ? itemAt(regions, 0) : vector,
    regions,
    shard: shardOf(rank, worldSize, vectorBytes),
    peers: vectors,
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
): Promise<SharedGradientExchange> {
  return Promise.resolve(new SharedGradientExchange(options));
}

/** A step that this rank is in. */
interface RankStep {
  /** Its number among the steps of this memory. */
  readonly index: number;
  readonly key: StepKey;
}

/** The phase that a rank is in: between two calls, or in one that waits. */
type Phase =
  | { readonly at: "idle" | "gathering" | "failed" | "closed" }
  | { readonly at: "contributing" | "agreeing"; readonly step: RankStep }
  | {
    readonly at: "summed";
    readonly step: RankStep;
    readonly counts: GlobalCounts;
    readonly share: Pick<ShareResult, "finite" | "worstRank">;
  }
  | { readonly at: "decided"; readonly step: RankStep; readonly finite: boolean };

/** All-reduce in shared memory. */
export class SharedGradientExchange implements GradientExchange {
  readonly #rank: number;
  readonly #meeting: Meeting;
  readonly #timeoutMs: number;
  readonly #shard: FloatRange;
  readonly #vectors: readonly Float32Array[];
  /** Length of each. */
  readonly #floats: number;
  /** The memory in which the sum is made. */
  readonly #sum: Float32Array;
  /** True where the sum takes the place of this rank's vector. */
  readonly #isInPlace: boolean;
  /** Floats of a vector that are gradients; running statistics follow. */
  readonly #gradientFloats: number;
  #phase: Phase = { at: "idle" };

  constructor(options: RankEndOptions) {
    const { rank, worldSize, buffers, timeoutMs = RANK_TIMEOUT_MS } = options;
    const { vector, reduced, shard, peers, meeting } = buffers;
    if (!peers || !meeting) {
      throw new TypeError("An exchange in shared memory without the memory of the other ranks");
    }
    this.#rank = rank;
    this.#timeoutMs = timeoutMs;
    this.#meeting = new Meeting(meeting, worldSize);
    this.#shard = shard;
    this.#vectors = peers.map(floatsOf);
    this.#sum = floatsOf(reduced);
    this.#isInPlace = reduced === vector;
    this.#gradientFloats = gradientFloats(options);
    this.#floats = floatsOf(vector).length;
  }

  async reduceScatter(
    contribution: StepContribution,
    signal?: AbortSignal,
  ): Promise<readonly FloatRange[]> {
    signal?.throwIfAborted();
    this.#requireIdle();
    checkContribution(this.#rank, contribution);
    const index = this.#meeting.summed;
    const step = { index, key: { epoch: contribution.epoch, step: contribution.step } };
    this.#phase = { at: "contributing", step };
    this.#meeting.contribute(this.#rank, index, contribution, this.#floats);
    await this.#wait(
      step.key,
      signal,
      (options) => this.#meeting.barrier(this.#rank, "contributed", options),
    );
    const records = this.#recordsOf(step);
    const counts = addCounts(records);
    const share = this.#sumShare(sumWeights(records, counts));
    this.#phase = { at: "summed", step, counts, share };
    return share.finite ? [this.#shard] : [];
  }

  async agree(squares: number, signal?: AbortSignal): Promise<StepResult> {
    signal?.throwIfAborted();
    const phase = this.#phase;
    if (phase.at !== "summed") throw new TypeError("agree() was called without a sum");
    const { step, share, counts: { trackedBatches: _, ...counts } } = phase;
    const { index, key } = step;
    this.#phase = { at: "agreeing", step };
    this.#meeting.share(this.#rank, index, { ...share, squares });
    await this.#wait(key, signal, async (options) => {
      await this.#meeting.barrier(this.#rank, "summed", options);
      await this.#meeting.untilGranted(index, options);
    });
    const records = this.#meeting.records(index);
    const { finite } = verdictOf(records);
    this.#phase = { at: "decided", step, finite };
    return {
      ...counts,
      finite,
      action: this.#meeting.actionOf(index),
      squares: records.reduce((sum, record) => sum + record.squares, 0),
    };
  }

  async allGather(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const phase = this.#phase;
    if (phase.at !== "decided" || !phase.finite) {
      throw new TypeError("allGather() was called without a sum");
    }
    this.#phase = { at: "gathering" };
    await this.#wait(
      phase.step.key,
      signal,
      (options) => this.#meeting.barrier(this.#rank, undefined, options),
    );
    this.#phase = { at: "idle" };
  }

  // deno-lint-ignore require-await -- the interface is asynchronous
  async close(): Promise<void> {
    this.#phase = { at: "closed" };
    this.#meeting.close(new LockstepError("The exchange was closed in the middle of a step"));
  }

  #requireIdle(): void {
    const { at } = this.#phase;
    if (at === "idle" || at === "decided") return;
    if (at === "closed") throw new TypeError("An exchange was used after close()");
    // A rank that has arrived and gone away can't be counted again: its step is lost for all ranks.
    if (at === "failed") throw new TypeError("An exchange was used after a step that failed");
    throw new TypeError("reduceScatter() was called while a step is still running");
  }

  /** Waits for the other ranks; after a failure there is no further step. */
  async #wait(
    key: StepKey,
    signal: AbortSignal | undefined,
    wait: (options: WaitOptions) => Promise<void>,
  ): Promise<void> {
    try {
      await wait({
        signal,
        timeoutMs: this.#timeoutMs,
        silence: (seconds) => noArrival(this.#rank, this.#meeting.lagging(), key, seconds),
      });
    } catch (error) {
      if (this.#phase.at !== "closed") this.#phase = { at: "failed" };
      throw error;
    }
  }

  /** @throws {LockstepError} when another rank is in another step or has another model */
  #recordsOf({ index, key }: RankStep): readonly StepRecord[] {
    const records = this.#meeting.records(index);
    const other = records.findIndex((record, rank) =>
      compareSteps(record, key) !== 0 || this.#meeting.floatsOf(rank) !== this.#floats
    );
    if (other < 0) return records;
    this.#phase = { at: "failed" };
    const describe = ({ epoch, step }: StepKey, rank: number) =>
      `epoch ${epoch}, step ${step} with ${this.#meeting.floatsOf(rank)} values`;
    throw new LockstepError(
      `Rank ${other} is in ${describe(itemAt(records, other), other)}, ` +
        `rank ${this.#rank} in ${describe(key, this.#rank)}`,
    );
  }

  /** Adds this rank's shard of the vectors, in rank order. */
  #sumShare({ gradients, statistics }: SumWeights): Pick<ShareResult, "finite" | "worstRank"> {
    const { begin, end } = this.#shard;
    const border = this.#gradientFloats;
    const parts = isSame(gradients, statistics) ? [{ range: this.#shard, weights: gradients }] : [
      { range: overlap(this.#shard, { begin, end: border }), weights: gradients },
      { range: overlap(this.#shard, { begin: border, end }), weights: statistics },
    ];
    const bad = parts.flatMap(({ range, weights }) => this.#sumRange(range, weights) ?? []);
    const ranks = bad.flatMap(({ rank }) => rank ?? []);
    return {
      finite: bad.length === 0,
      worstRank: ranks.length > 0 ? Math.min(...ranks) : undefined,
    };
  }

  /** @returns Nothing when the sum is finite, else the first rank whose own values are not, if any */
  #sumRange(
    { begin, end }: FloatRange,
    weights: readonly (number | null)[],
  ): { rank: number | undefined } | undefined {
    if (begin >= end) return undefined;
    const senders = [...weights.keys()].filter((rank) => weights[rank] !== null);
    const parts = senders.map((rank) => itemAt(this.#vectors, rank).subarray(begin, end));
    const sum = this.#sum.subarray(begin, end);
    if (weightedSum(sum, parts, senders.map((rank) => weights[rank]!))) return undefined;
    const rank = senders.find((rank, index) =>
      rank === this.#rank && this.#isInPlace
        ? isOwnBad(sum, parts, index)
        : !allFinite(itemAt(parts, index))
    );
    return { rank };
  }
}

function isSame(a: readonly (number | null)[], b: readonly (number | null)[]): boolean {
  return a.every((value, index) => value === b[index]);
}

/**
 * Tells whether this rank's part, which the sum has replaced by now, was not finite while all others were.
 */
function isOwnBad(sum: Float32Array, parts: readonly Float32Array[], own: number): boolean {
  return sum.some((value, at) =>
    !Number.isFinite(value) &&
    parts.every((part, index) => index === own || Number.isFinite(part[at]))
  );
}

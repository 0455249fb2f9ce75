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
import { LockstepError } from "../base/errors.ts";
import { type FloatRange, floatsOf, shardOf } from "../base/float_range.ts";
import { itemAt } from "../base/item_at.ts";
import { compareSteps, type StepKey } from "../base/step_key.ts";
import type { StepPhase } from "../protocol/step_phases.ts";
import { checkContribution } from "./check_contribution.ts";
import type { GradientExchange, StepContribution, StepResult } from "./gradient_exchange.ts";
import { type MaybePromise, Meeting, type WaitOptions } from "./meeting.ts";
import type { ExchangeLink, RankEndOptions } from "./rank_end.ts";
import { RankHangs } from "./rank_hangs.ts";
import { viewsOf } from "./shared_layout.ts";
import { noArrival, RANK_TIMEOUT_MS } from "./silence.ts";
import { ShardSum, type SumVerdict } from "./shard_sum.ts";
import { gradientFloats, ownBuffers, type RankShape, type StepBuffers } from "./step_buffers.ts";
import type { StepRecord } from "./step_record.ts";
import { addCounts, type GlobalCounts, sumWeights, verdictOf } from "./totals.ts";

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
  const { meeting, slots, regions } = viewsOf(segment, shape);
  if (slots.length > 1) return { ...ownBuffers(shape), peers: slots, meeting };
  const vector = itemAt(itemAt(slots, 0), rank);
  return {
    vector,
    reduced: sumInRegion ? itemAt(regions, 0) : vector,
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
    readonly share: SumVerdict;
  }
  | { readonly at: "decided"; readonly step: RankStep; readonly finite: boolean };

/** All-reduce in shared memory. */
export class SharedGradientExchange implements GradientExchange {
  readonly #rank: number;
  readonly #meeting: Meeting;
  readonly #timeoutMs: number;
  /** The sum, by the step's number modulo 1 or 2: of the slots that are used in turn. */
  readonly #sums: readonly ShardSum[];
  /** This rank's slots where its vector is copied into them. */
  readonly #copies: readonly Float32Array[] | undefined;
  readonly #vector: Float32Array;
  /** The ranges of the sum that this rank makes. */
  readonly #ranges: readonly FloatRange[];
  readonly #hangs: RankHangs | undefined;
  #phase: Phase = { at: "idle" };

  constructor(options: RankEndOptions) {
    const { rank, worldSize, vectorBytes, buffers, timeoutMs = RANK_TIMEOUT_MS, hangs } = options;
    const { vector, reduced, shard, peers, meeting } = buffers;
    if (!peers || !meeting) {
      throw new TypeError("An exchange in shared memory without the memory of the other ranks");
    }
    this.#rank = rank;
    this.#timeoutMs = timeoutMs;
    this.#meeting = new Meeting(meeting, worldSize);
    this.#hangs = hangs && new RankHangs(this.#meeting, rank, hangs);
    this.#vector = floatsOf(vector);
    const own = reduced === vector ? rank : undefined;
    this.#sums = peers.map((slots) =>
      new ShardSum(floatsOf(reduced), slots.map(floatsOf), shard, gradientFloats(options), own)
    );
    const isWhole = peers.length > 1;
    this.#copies = isWhole ? peers.map((slots) => floatsOf(itemAt(slots, rank))) : undefined;
    this.#ranges = isWhole
      ? Array.from({ length: worldSize }, (_, rank) => shardOf(rank, worldSize, vectorBytes))
      : [shard];
  }

  async reduceScatter(
    contribution: StepContribution,
    signal?: AbortSignal,
  ): Promise<readonly FloatRange[]> {
    signal?.throwIfAborted();
    this.#requireIdle();
    checkContribution(this.#rank, contribution);
    const meeting = this.#meeting;
    const index = meeting.stepsOf(this.#rank);
    const step = { index, key: { epoch: contribution.epoch, step: contribution.step } };
    this.#phase = { at: "contributing", step };
    meeting.enter(this.#rank, step.key, "waiting for the other ranks");
    if (this.#copies) itemAt(this.#copies, index % this.#copies.length).set(this.#vector);
    itemAt(meeting.records.of(index), this.#rank).contribute(contribution);
    meeting.contribute(this.#rank, this.#vector.length);
    await this.#wait(
      step.key,
      signal,
      (options) => meeting.untilPassed("contributed", index + 1, options),
    );
    meeting.enter(this.#rank, step.key, "summing gradients");
    const records = this.#recordsOf(step);
    const counts = addCounts(records);
    const sum = itemAt(this.#sums, index % this.#sums.length);
    const share = sum.make(sumWeights(records, counts));
    this.#phase = { at: "summed", step, counts, share };
    return share.finite ? this.#ranges : [];
  }

  async agree(squares: number, signal?: AbortSignal): Promise<StepResult> {
    signal?.throwIfAborted();
    const phase = this.#phase;
    if (phase.at !== "summed") throw new TypeError("agree() was called without a sum");
    const { step, share, counts: { trackedBatches: _, ...counts } } = phase;
    const { index, key } = step;
    this.#phase = { at: "agreeing", step };
    const meeting = this.#meeting;
    const records = meeting.records.of(index);
    itemAt(records, this.#rank).share({ ...share, squares });
    meeting.arrive(this.#rank, "summed");
    if (!this.#copies) {
      meeting.enter(this.#rank, key, "waiting for the other ranks");
      await this.#wait(key, signal, (options) => meeting.untilPassed("summed", index + 1, options));
    }
    const finite = this.#copies
      ? share.finite && records.every(({ lossSum }) => Number.isFinite(lossSum))
      : verdictOf(records).finite;
    // No further step comes: the coordinator must not sleep until one does.
    if (!finite) meeting.wakeCoordinator();
    if (meeting.granted <= index) {
      meeting.enter(this.#rank, key, "waiting for the coordinator");
      await this.#wait(key, signal, (options) => meeting.untilGranted(index, options));
    }
    this.#phase = { at: "decided", step, finite };
    return {
      ...counts,
      finite,
      action: meeting.actionOf(index),
      squares: this.#copies ? squares : records.reduce((sum, record) => sum + record.squares, 0),
    };
  }

  async allGather(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const phase = this.#phase;
    if (phase.at !== "decided" || !phase.finite) {
      throw new TypeError("allGather() was called without a sum");
    }
    this.#phase = { at: "gathering" };
    const meeting = this.#meeting;
    const { committed } = meeting; // can't change before this rank arrives
    meeting.arrive(this.#rank, "committed");
    if (!this.#copies) {
      await this.#wait(
        phase.step.key,
        signal,
        (options) => meeting.untilPassed("committed", committed + 1, options),
      );
    }
    this.#phase = { at: "idle" };
  }

  enter(step: StepKey, phase: StepPhase): void {
    this.#meeting.enter(this.#rank, step, phase);
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
  #wait(
    key: StepKey,
    signal: AbortSignal | undefined,
    wait: (options: WaitOptions) => MaybePromise,
  ): MaybePromise {
    return wait({
      signal,
      timeoutMs: this.#timeoutMs,
      silence: (seconds) => noArrival(this.#rank, this.#meeting.lagging(), key, seconds),
      onLook: this.#hangs?.beginWait(),
    })?.catch((error) => {
      if (this.#phase.at !== "closed") this.#phase = { at: "failed" };
      throw error;
    });
  }

  /** @throws {LockstepError} when another rank is in another step or has another model */
  #recordsOf({ index, key }: RankStep): readonly StepRecord[] {
    const records = this.#meeting.records.of(index);
    const { length } = this.#vector;
    const other = records.findIndex((record, rank) =>
      compareSteps(record, key) !== 0 || this.#meeting.floatsOf(rank) !== length
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
}

/**
 * A rank's end of an all-reduce whose ranks meet in shared memory: the phases of a step, its waits, and the result, which
 * each rank computes from the records of all. No message is sent. How vectors are summed is up to the exchange.
 *
 * @module
 */
import { orAborted } from "../base/async.ts";
import { LockstepError } from "../base/errors.ts";
import { faultPoint } from "../base/fault_point.ts";
import type { FloatRange } from "../base/float_range.ts";
import { itemAt } from "../base/item_at.ts";
import { compareSteps, type StepKey } from "../base/step_key.ts";
import type { StepPhase } from "../protocol/step_phases.ts";
import { checkContribution } from "./check_contribution.ts";
import type { GradientExchange, StepContribution, StepResult } from "./gradient_exchange.ts";
import type { HostLink, HostRecord } from "./host_link.ts";
import { type MaybePromise, Meeting, type WaitOptions } from "./meeting.ts";
import type { RankEndOptions } from "./rank_end.ts";
import { RankHangs } from "./rank_hangs.ts";
import type { SumVerdict } from "./shard_sum.ts";
import { closedError, noArrival, RANK_TIMEOUT_MS } from "./silence.ts";
import { smallPieces, sumSmall } from "./small_values.ts";
import { RECORD_LENGTH, StepRecord } from "./step_record.ts";
import { addCounts, type GlobalCounts, type SumWeights, sumWeights } from "./totals.ts";

/** A step that this rank is in. */
export interface MeetingStep {
  /** Its number among the steps of this memory. */
  readonly index: number;
  readonly key: StepKey;
}

/** The phase that a rank is in: between two calls, or in one that waits. */
type Phase =
  | { readonly at: "idle" | "gathering" | "failed" | "closed" }
  /** Parts of the vector are offered; the rest is still computed. */
  | { readonly at: "offering"; readonly step: MeetingStep }
  | { readonly at: "contributing" | "agreeing"; readonly step: MeetingStep }
  | {
    readonly at: "summed";
    readonly step: MeetingStep;
    readonly counts: GlobalCounts;
    readonly records: readonly HostRecord[];
    readonly share: SumVerdict;
  }
  | { readonly at: "decided"; readonly step: MeetingStep; readonly finite: boolean };

/** All ranks' counts, and what follows from them. */
interface Gathered {
  /** Of all ranks of all hosts. */
  readonly records: readonly HostRecord[];
  readonly counts: GlobalCounts;
  readonly weights: SumWeights;
}

/** One rank's end, under the coordinator's `SharedReducer`. */
export abstract class MeetingEnd implements GradientExchange {
  protected readonly rank: number;
  protected readonly meeting: Meeting;
  protected readonly timeoutMs: number;
  /** The other hosts, if there are any. */
  protected readonly hosts: HostLink | undefined;
  /** This rank among those of all hosts, for messages and verdicts. */
  readonly #globalRank: number;
  readonly #floats: number;
  readonly #hangs: RankHangs | undefined;
  #phase: Phase = { at: "idle" };
  /** The counts of the last step, gathered once. */
  #gathered: { readonly index: number; readonly all: Promise<Gathered> } | undefined;

  protected constructor(options: RankEndOptions) {
    const { rank, worldSize, vectorBytes, buffers, timeoutMs = RANK_TIMEOUT_MS, hangs } = options;
    if (!buffers.meeting) throw new TypeError("Ranks that meet without a meeting place");
    this.rank = rank;
    this.timeoutMs = timeoutMs;
    this.hosts = options.hosts;
    this.#globalRank = this.#global(rank);
    this.meeting = new Meeting(buffers.meeting, worldSize);
    this.#floats = vectorBytes / Float32Array.BYTES_PER_ELEMENT;
    this.#hangs = hangs && new RankHangs(this.meeting, rank, hangs);
  }

  /** The ranges of the sum that this rank gets. */
  protected abstract readonly ranges: readonly FloatRange[];
  /** The phases at whose ends the ranks wait for each other, besides `contributed`. */
  protected abstract readonly waits: { readonly summed: boolean; readonly committed: boolean };
  /** Completes this rank's contribution before the others see its record. */
  protected abstract prepare(
    index: number,
    own: StepContribution,
    record: StepRecord,
  ): MaybePromise;
  /**
   * Sums what all ranks have contributed.
   *
   * @param weights Of all ranks of all hosts
   * @param records Of all ranks of all hosts, as they were contributed
   */
  protected abstract sum(
    index: number,
    weights: SumWeights,
    signal: AbortSignal | undefined,
    records: readonly HostRecord[],
  ): SumVerdict | Promise<SumVerdict>;
  /**
   * True where the ranks of each host have the same results of the same shares, so that the hosts need not tell each
   * other.
   */
  protected get hasSameResults(): boolean {
    return false;
  }
  /**
   * The verdict on the step, and the sum of the squares.
   *
   * @param records Of all ranks of all hosts
   */
  protected abstract result(
    records: readonly HostRecord[],
    share: SumVerdict,
    squares: number,
  ): Pick<StepResult, "finite" | "squares">;

  async reduceScatter(
    contribution: StepContribution,
    signal?: AbortSignal,
  ): Promise<readonly FloatRange[]> {
    signal?.throwIfAborted();
    const step = this.#phase.at === "offering"
      ? this.#offered(contribution)
      : await this.#contribute(contribution);
    this.#phase = { at: "contributing", step };
    const { records, counts, weights } = await this.#gather(step, signal);
    this.meeting.enter(this.rank, step.key, "summing gradients");
    const share = await this.#failing(this.sum(step.index, weights, signal, records));
    if (this.#isClosed) throw closedError(); // when the sum had just ended
    this.#phase = { at: "summed", step, counts, records, share };
    faultPoint("after-sum");
    return share.finite ? this.ranges : [];
  }

  async agree(squares: number, signal?: AbortSignal): Promise<StepResult> {
    signal?.throwIfAborted();
    const phase = this.#phase;
    if (phase.at !== "summed") {
      this.#requireUsable();
      throw new TypeError("agree() was called without a sum");
    }
    const { step, share, counts: { trackedBatches: _, ...counts } } = phase;
    const { index, key } = step;
    this.#phase = { at: "agreeing", step };
    const { meeting } = this;
    const records = meeting.records.of(index);
    itemAt(records, this.rank).share({ ...share, squares });
    meeting.arrive(this.rank, "summed");
    if (this.waits.summed) {
      meeting.enter(this.rank, key, "waiting for the other ranks");
      await this.#wait(key, signal, (options) => meeting.untilPassed("summed", index + 1, options));
    }
    const all = await this.#resultsOf(phase, signal);
    const result = this.result(all, share, squares);
    // No further step comes: the coordinator must not sleep until one does.
    if (!result.finite) meeting.wakeCoordinator();
    if (meeting.granted <= index) {
      meeting.enter(this.rank, key, "waiting for the coordinator");
      await this.#wait(key, signal, (options) => meeting.untilGranted(index, options));
    }
    this.#phase = { at: "decided", step, finite: result.finite };
    return { ...counts, ...result, action: meeting.actionOf(index) };
  }

  async allGather(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const phase = this.#phase;
    if (phase.at !== "decided" || !phase.finite) {
      this.#requireUsable();
      throw new TypeError("allGather() was called without a sum");
    }
    this.#phase = { at: "gathering" };
    faultPoint("before-commit");
    const { meeting } = this;
    const { committed } = meeting; // can't change before this rank arrives
    meeting.arrive(this.rank, "committed");
    if (this.waits.committed) {
      await this.#wait(
        phase.step.key,
        signal,
        (options) => meeting.untilPassed("committed", committed + 1, options),
      );
    }
    this.#phase = { at: "idle" };
    faultPoint("after-commit");
  }

  async allReduce(values: Float64Array, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#requireUsable();
    const { meeting, rank } = this;
    if (meeting.worldSize === 1 && !this.hosts) return;
    const place = meeting.placeOf(rank);
    for (const piece of smallPieces(values)) {
      const round = meeting.exchanged; // can't change before this rank arrives
      meeting.values.write(rank, round, piece);
      meeting.arrive(rank, "exchanged");
      await this.#wait(
        place,
        signal,
        (options) => meeting.untilPassed("exchanged", round + 1, options),
      );
      const own = meeting.values.of(round);
      const all = this.hosts?.values(own, signal) ?? own;
      sumSmall(piece, await this.#failing(all));
    }
  }

  enter(step: StepKey, phase: StepPhase): void {
    this.meeting.enter(this.rank, step, phase);
  }

  // deno-lint-ignore require-await -- the interface is asynchronous
  async close(): Promise<void> {
    this.#phase = { at: "closed" };
    this.meeting.close(closedError());
  }

  /**
   * Begins a step whose vector is not whole yet; the others see its record.
   *
   * @param begin The float from which on the vector is final
   */
  protected beginOffering(own: StepContribution, begin = 0): MeetingStep {
    const step = this.#begin(own);
    this.meeting.enter(this.rank, step.key, "computing");
    this.#phase = { at: "offering", step };
    this.#arrive(step, own, begin);
    return step;
  }

  /** Waits until the vectors of all ranks of this host are final from a float on. */
  protected untilOffered(begin: number, signal: AbortSignal | undefined): MaybePromise {
    return this.#wait(
      this.meeting.placeOf(this.rank),
      signal,
      (options) => this.meeting.untilOffered(this.rank, begin, options),
    );
  }

  get #isClosed(): boolean {
    return this.#phase.at === "closed";
  }

  /** True between the first part of a contribution and the last one. */
  protected get isOffering(): boolean {
    return this.#phase.at === "offering";
  }

  /** The verdict of a rank that looks at its own vector alone. */
  protected ownVerdict(finite: boolean): SumVerdict {
    return { finite, worstRank: finite ? undefined : this.#globalRank };
  }

  /** Waits for the contributions of all ranks to a step that this rank has contributed to. */
  protected async weightsOf(step: MeetingStep): Promise<SumWeights> {
    return (await this.#gather(step, undefined)).weights;
  }

  #offered(contribution: StepContribution): MeetingStep {
    const phase = this.#phase;
    if (phase.at === "offering" && compareSteps(phase.step.key, contribution) === 0) {
      this.meeting.enter(this.rank, phase.step.key, "waiting for the other ranks");
      return phase.step;
    }
    throw new TypeError("reduceScatter() was called for another step than offer()");
  }

  #begin(contribution: StepContribution): MeetingStep {
    this.#requireIdle();
    checkContribution(this.#globalRank, contribution);
    const key = { epoch: contribution.epoch, step: contribution.step };
    this.meeting.enter(this.rank, key, "waiting for the other ranks");
    return { index: this.meeting.stepsOf(this.rank), key };
  }

  async #contribute(own: StepContribution): Promise<MeetingStep> {
    const step = this.#begin(own);
    this.#phase = { at: "contributing", step };
    const record = itemAt(this.meeting.records.of(step.index), this.rank);
    const preparing = this.prepare(step.index, own, record);
    if (preparing) await this.#failing(preparing);
    this.#arrive(step, own);
    return step;
  }

  #arrive({ index }: MeetingStep, own: StepContribution, begin = 0): void {
    this.meeting.offer(this.rank, begin);
    itemAt(this.meeting.records.of(index), this.rank).contribute(own);
    this.meeting.contribute(this.rank, this.#floats);
  }

  /** All ranks' counts of a step; the other hosts are asked once, though an early sum has asked before. */
  #gather(step: MeetingStep, signal: AbortSignal | undefined): Promise<Gathered> {
    if (this.#gathered?.index === step.index) {
      return this.#failing(orAborted(this.#gathered.all, signal));
    }
    const all = this.#gatherAll(step, signal);
    this.#gathered = { index: step.index, all };
    return all;
  }

  async #gatherAll(step: MeetingStep, signal: AbortSignal | undefined): Promise<Gathered> {
    const { meeting } = this;
    const { index, key } = step;
    await this.#wait(
      key,
      signal,
      (options) => meeting.untilPassed("contributed", index + 1, options),
    );
    const own = this.#recordsOf(step);
    const records = await this.#failing(this.hosts?.contributions(key, own, signal) ?? own);
    const counts = addCounts(records);
    return { records, counts, weights: sumWeights(records, counts) };
  }

  /** The records of all ranks of all hosts, with the results of their shares. */
  async #resultsOf(
    { step, records }: Extract<Phase, { readonly at: "summed" }>,
    signal: AbortSignal | undefined,
  ): Promise<readonly HostRecord[]> {
    const own = this.meeting.records.of(step.index);
    if (!this.hosts) return own;
    if (this.hasSameResults) return withResults(records, own, this.hosts.firstRank);
    return await this.#failing(this.hosts.results(step.key, own, signal));
  }

  /** The place of one of this host's ranks among those of all hosts. */
  #global(rank: number): number {
    return (this.hosts?.firstRank ?? 0) + rank;
  }

  #requireIdle(): void {
    const { at } = this.#phase;
    if (at === "idle" || at === "decided") return;
    this.#requireUsable();
    throw new TypeError("reduceScatter() was called while a step is still running");
  }

  #requireUsable(): void {
    const { at } = this.#phase;
    if (at === "closed") throw new TypeError("An exchange was used after close()");
    // A rank that has arrived and gone away can't be counted again: its step is lost for all ranks.
    if (at === "failed") throw new TypeError("An exchange was used after a step that failed");
  }

  /** Waits for the other ranks; after a failure there is no further step. */
  #wait(
    key: StepKey,
    signal: AbortSignal | undefined,
    wait: (options: WaitOptions) => MaybePromise,
  ): MaybePromise {
    const waiting = wait({
      signal,
      timeoutMs: this.timeoutMs,
      silence: (seconds) => {
        const lagging = this.meeting.lagging().map((rank) => this.#global(rank));
        return noArrival(this.#globalRank, lagging, key, seconds);
      },
      onLook: this.#hangs?.beginWait(),
    });
    return waiting && this.#failing(waiting);
  }

  /** The outcome of work in a step; after a failure there is no further step. */
  #failing<T>(work: Promise<T>): Promise<T>;
  #failing<T>(work: T | Promise<T>): T | Promise<T>;
  #failing<T>(work: T | Promise<T>): T | Promise<T> {
    if (!(work instanceof Promise)) return work;
    return work.catch((error) => {
      if (!this.#isClosed) this.#phase = { at: "failed" };
      throw error;
    });
  }

  /** @throws {LockstepError} when another rank is in another step or has another model */
  #recordsOf({ index, key }: MeetingStep): readonly StepRecord[] {
    const records = this.meeting.records.of(index);
    const other = records.findIndex((record, rank) =>
      compareSteps(record, key) !== 0 || this.meeting.floatsOf(rank) !== this.#floats
    );
    if (other < 0) return records;
    this.#phase = { at: "failed" };
    const describe = ({ epoch, step }: StepKey, rank: number) =>
      `epoch ${epoch}, step ${step} with ${this.meeting.floatsOf(rank)} values`;
    throw new LockstepError(
      `Rank ${this.#global(other)} is in ${describe(itemAt(records, other), other)}, ` +
        `rank ${this.#globalRank} in ${describe(key, this.rank)}`,
    );
  }
}

/**
 * The records of all ranks with the results of their shares, where each host has the same ones.
 *
 * @param records Of all ranks of all hosts
 * @param own Of this host's ranks, with their results
 */
function withResults(
  records: readonly HostRecord[],
  own: readonly StepRecord[],
  firstRank: number,
): readonly HostRecord[] {
  return records.map((record, rank) => {
    if (rank >= firstRank && rank < firstRank + own.length) return itemAt(own, rank - firstRank);
    const same = new StepRecord(new Float64Array(RECORD_LENGTH));
    const { finite, squares } = itemAt(own, rank % own.length);
    same.copy(record);
    same.share({ finite, squares, worstRank: undefined });
    return same;
  });
}

/**
 * The coordinator's end of the all-reduce in shared memory: it touches no vector, and rules each step.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import type { Incoming, Link } from "../protocol/link.ts";
import { type Fields, toWireNumber } from "../protocol/messages.ts";
import { planChunks } from "./chunks.ts";
import { compareSteps, type StepKey } from "../base/step_key.ts";
import type { RankReport, Reducer, StepTotals } from "./gradient_exchange.ts";
import { RankInbox } from "./rank_inbox.ts";
import { noAnswerFrom, StepWait } from "./step_wait.ts";
import { gatherTotals, type GlobalCounts, sumWeights } from "./totals.ts";

/** Settings of the reducer. */
export interface SharedReducerOptions {
  readonly worldSize: number;
  /** Length of every step's vector. */
  readonly vectorBytes: number;
  /** Milliseconds without any progress after which a step fails (180000 unless set). */
  readonly timeoutMs?: number;
  /** Describes a rank's last activity, as a sentence, for the error when the rank keeps silent. */
  readonly describe?: (rank: number) => string | undefined;
}

/** The step that is being reduced, or the last one that was. */
interface ReducingStep extends StepKey {
  readonly decide: () => "continue" | "stop";
  readonly wait: StepWait<StepTotals>;
  /** Known as soon as every rank's contribution has arrived. */
  totals?: GlobalCounts;
  /** Known with the totals. */
  ranks: readonly RankReport[];
  reduce?: Fields<"reduce">;
  /** The ranks' measures of their shares of the sum, once these are made. */
  readonly shards: Map<number, number>;
  /** Ranks whose shard of the regions is written. */
  readonly written: Set<number>;
  result?: Fields<"result">;
  worstRank: number | undefined;
  finite: boolean;
}

/** Has the workers sum their vectors, step by step. */
export class SharedReducer implements Reducer {
  readonly #link: Link;
  readonly #vectorBytes: number;
  readonly #timeoutMs: number | undefined;
  readonly #describe: SharedReducerOptions["describe"];
  readonly #ranks: RankInbox[];
  readonly #subscriptions: { unsubscribe(): void }[] = [];
  #step: ReducingStep | undefined;
  /** The step before: a rank may still have to hear its result. */
  #previous: ReducingStep | undefined;

  private constructor(link: Link, options: SharedReducerOptions) {
    const { worldSize, vectorBytes, timeoutMs, describe } = options;
    this.#describe = describe;
    this.#link = link;
    this.#vectorBytes = vectorBytes;
    this.#timeoutMs = timeoutMs;
    const nothing = planChunks(0, worldSize, link.maxPayloadBytes);
    this.#ranks = Array.from({ length: worldSize }, (_, rank) => new RankInbox(rank, nothing));
  }

  /**
   * Subscribes to all ranks; when the promise resolves, the workers may begin.
   *
   * @throws {LockstepError} When the connection is gone
   */
  static async open(link: Link, options: SharedReducerOptions): Promise<SharedReducer> {
    const reducer = new SharedReducer(link, options);
    reducer.#subscriptions.push(
      link.subscribe(link.subjects.gradient("*"), {
        contribution: (message) => reducer.#onContribution(message),
        shard: (message) => reducer.#onShard(message),
        written: (message) => reducer.#onWritten(message),
      }),
      link.subscribe(link.subjects.missing("coordinator"), {
        missing: (message) => reducer.#onMissing(message),
      }),
      link.onReconnect(() => reducer.#askAgain()),
    );
    await link.flush();
    return reducer;
  }

  async reduce(
    key: StepKey,
    decide: () => "continue" | "stop",
    signal?: AbortSignal,
  ): Promise<StepTotals> {
    signal?.throwIfAborted();
    const wait = new StepWait<StepTotals>({
      timeoutMs: this.#timeoutMs,
      askAgain: () => this.#askAgain(),
      silence: (seconds) => this.#silenceError(seconds),
    });
    this.#previous = this.#step?.result ? this.#step : undefined;
    const step = {
      ...key,
      decide,
      wait,
      ranks: [],
      shards: new Map<number, number>(),
      written: new Set<number>(),
      worstRank: undefined,
      finite: true,
    };
    this.#step = step;
    this.#gather(step);
    return await wait.result(signal);
  }

  // deno-lint-ignore require-await -- the interface is asynchronous
  async close(): Promise<void> {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    this.#step?.wait.end();
    this.#step?.wait.fail(new LockstepError("The reducer was closed in the middle of a step"));
  }

  #onContribution({ header }: Incoming<"contribution">): void {
    const inbox = this.#ranks[header.rank];
    if (!inbox) return;
    if (header.bytes !== this.#vectorBytes || header.chunkBytes !== 0) {
      return this.#step?.wait.fail(
        new LockstepError(
          `Rank ${header.rank} exchanges ${header.bytes} bytes, ` +
            `the coordinator ${this.#vectorBytes} in shared memory: their models differ`,
        ),
      );
    }
    const step = this.#step;
    if (!inbox.begin(header) || !step || step.totals) return;
    step.wait.progress();
    this.#gather(step);
  }

  /** Lets the ranks add the vectors as soon as every rank's vector is there. */
  #gather(step: ReducingStep): void {
    try {
      const gathered = gatherTotals(this.#ranks, step);
      if (!gathered) return;
      step.totals = gathered.totals;
      step.ranks = gathered.ranks;
      if (gathered.worstRank !== undefined) this.#notFinite(step, gathered.worstRank);
    } catch (error) {
      return step.wait.fail(error);
    }
    const { gradients, statistics } = sumWeights(this.#ranks, step.totals);
    step.reduce = {
      epoch: step.epoch,
      step: step.step,
      weights: [...gradients],
      statisticsWeights: [...statistics],
    };
    this.#link.publish(this.#link.subjects.reduced, "reduce", step.reduce);
  }

  #onShard({ header }: Incoming<"shard">): void {
    const step = this.#step;
    const isNews = step?.reduce && !step.result && compareSteps(header, step) === 0 &&
      this.#ranks[header.rank] && !step.shards.has(header.rank);
    if (!isNews) return;
    step.wait.progress();
    step.shards.set(header.rank, Number(header.measure));
    if (!header.finite) this.#notFinite(step, header.worstRank ?? undefined);
    if (step.shards.size === this.#ranks.length) this.#publishResult(step);
  }

  #notFinite(step: ReducingStep, rank: number | undefined): void {
    step.finite = false;
    if (rank !== undefined) step.worstRank = Math.min(rank, step.worstRank ?? rank);
  }

  #publishResult(step: ReducingStep): void {
    const totals = step.totals!;
    const action = step.decide();
    const { finite, worstRank, ranks, epoch, step: number } = step;
    const lossSum = toWireNumber(totals.lossSum);
    const measure = this.#ranks.reduce((sum, { rank }) => sum + step.shards.get(rank)!, 0);
    step.result = {
      ...{ epoch, step: number, ...totals, lossSum, action, finite },
      measure: toWireNumber(measure),
    };
    this.#link.publish(this.#link.subjects.reduced, "result", step.result);
    step.wait.finish({ ...totals, finite, worstRank, action, ranks });
  }

  /** A rank's shard of the regions is written: of the last step that was decided. */
  #onWritten({ header }: Incoming<"written">): void {
    const step = this.#stepAt(header);
    if (!step?.result || !this.#ranks[header.rank]) return;
    step.written.add(header.rank);
    if (this.#isGathered(step)) this.#publishGathered(step);
  }

  #isGathered({ written }: ReducingStep): boolean {
    return written.size === this.#ranks.length;
  }

  #publishGathered({ epoch, step }: StepKey): void {
    this.#link.publish(this.#link.subjects.reduced, "gathered", { epoch, step });
  }

  #stepAt(place: StepKey): ReducingStep | undefined {
    return [this.#step, this.#previous].find((known) =>
      known !== undefined && compareSteps(known, place) === 0
    );
  }

  /** A rank asks again for the word that it waits for; others may have to be asked first. */
  #onMissing({ header }: Incoming<"missing">): void {
    const step = this.#stepAt(header);
    if (!step) return;
    const { reduced } = this.#link.subjects;
    if (step.result) this.#link.publish(reduced, "result", step.result);
    else if (step.reduce) this.#link.publish(reduced, "reduce", step.reduce);
    if (this.#isGathered(step)) return this.#publishGathered(step);
    if (step.written.size === 0) return;
    for (const { rank } of this.#ranks) if (!step.written.has(rank)) this.#ask(rank, step);
  }

  #ask(rank: number, { epoch, step }: StepKey): void {
    const fields = { rank, epoch, step, chunks: [], totals: true };
    this.#link.publish(this.#link.subjects.missing(rank), "missing", fields);
  }

  #askAgain(): void {
    const step = this.#step;
    if (!step || step.result) return;
    for (const rank of this.#awaited(step)) this.#ask(rank, step);
    if (step.reduce) this.#link.publish(this.#link.subjects.reduced, "reduce", step.reduce);
  }

  /** The ranks that the step waits for. */
  #awaited(step: ReducingStep): number[] {
    const isHere = (inbox: RankInbox) =>
      step.totals ? step.shards.has(inbox.rank) : inbox.hasBegun(step);
    return this.#ranks.filter((inbox) => !isHere(inbox)).map(({ rank }) => rank);
  }

  #silenceError(seconds: number): LockstepError {
    const step = this.#step!;
    const what = step.totals ? "share of the sum" : "gradients";
    return noAnswerFrom(this.#awaited(step), what, step, seconds, this.#describe);
  }
}

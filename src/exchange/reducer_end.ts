/**
 * The coordinator's end of an all-reduce, as far as all exchanges have it in common: the phases of a step, the ranks'
 * counts, the verdict and the result. How vectors are summed is up to the exchange.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { compareSteps, type StepKey } from "../base/step_key.ts";
import type { Incoming } from "../protocol/link.ts";
import { type Fields, type Header, toWireNumber } from "../protocol/messages.ts";
import { RetriedWait } from "../protocol/retried_wait.ts";
import { type ChunkPlan, MAX_REQUESTED } from "./chunks.ts";
import type {
  Decide,
  RankReport,
  ReduceOptions,
  Reducer,
  StepTotals,
} from "./gradient_exchange.ts";
import type { NarrowDtype } from "./narrow.ts";
import { ReducerValues } from "./nats_values.ts";
import { RankInbox } from "./rank_inbox.ts";
import type { ExchangeLink } from "./rank_end.ts";
import { noAnswerFrom } from "./silence.ts";
import type { ExchangeShape } from "./step_buffers.ts";
import {
  gatherTotals,
  type GlobalCounts,
  type SumWeights,
  sumWeights,
  type Verdict,
} from "./totals.ts";

/** Settings of a coordinator's end. */
export interface ReducerEndOptions extends Omit<ExchangeShape, "regions"> {
  /** Milliseconds without any progress after which a step fails (180000 unless set). */
  readonly timeoutMs?: number;
  /** Describes a rank's last activity, as a sentence, for the error when the rank keeps silent. */
  readonly describe?: (rank: number) => string | undefined;
}

/** The decision on a step, with the dtype in which the vectors travelled. */
export interface NarrowVerdict extends Verdict {
  readonly tooLargeFor?: NarrowDtype;
}

/** The sum of a step, with what its exchange keeps for it. */
export interface Summing<Transfer> {
  readonly counts: GlobalCounts;
  readonly ranks: readonly RankReport[];
  readonly transfer: Transfer;
}

/** The phase of a step. */
export type ReducePhase<Transfer> =
  /** The ranks' contributions are waited for. */
  | { readonly at: "collecting" }
  /** All contributions are here, and the vectors are summed. */
  | ({ readonly at: "summing" } & Summing<Transfer>)
  /** The result is out; a rank may still ask for it. */
  | ({ readonly at: "decided"; readonly result: Fields<"result"> } & Summing<Transfer>);

/** The step that is being reduced, or one that was. */
export interface ReducingStep<Transfer> extends StepKey {
  readonly decide: Decide;
  readonly wait: RetriedWait<StepTotals>;
  verdict: NarrowVerdict;
  phase: ReducePhase<Transfer>;
}

/** A step whose sum is being made. */
export type SummingStep<Transfer> = ReducingStep<Transfer> & {
  phase: { readonly at: "summing" } & Summing<Transfer>;
};

/** The coordinator's end of an all-reduce, over the workers' `RankEnd`s. */
export abstract class ReducerEnd<Transfer> implements Reducer {
  protected readonly link: ExchangeLink;
  protected readonly ranks: readonly RankInbox[];
  /** The step that is being reduced, or the last one that was. */
  protected step: ReducingStep<Transfer> | undefined;
  /** The step before, when it is decided. */
  protected previous: ReducingStep<Transfer> | undefined;
  readonly #options: ReducerEndOptions;
  readonly #values: ReducerValues;
  #subscriptions: { unsubscribe(): void }[] = [];

  /** @param plan The chunks in which vectors arrive */
  protected constructor(link: ExchangeLink, options: ReducerEndOptions, plan: ChunkPlan) {
    this.link = link;
    this.#options = options;
    const { worldSize } = options;
    this.ranks = Array.from({ length: worldSize }, (_, rank) => new RankInbox(rank, plan));
    this.#values = new ReducerValues(link, worldSize, {
      progress: () => this.step?.wait.progress(),
      fail: (error) => this.step?.wait.fail(error),
    });
  }

  /** Subscribes to the messages of all ranks; `contribution` goes to {@linkcode onContribution}. */
  protected abstract listen(): { unsubscribe(): void };
  /** Describes how a rank's vectors differ from what is expected; nothing when they don't. */
  protected abstract mismatchOf(contribution: Fields<"contribution">): string | undefined;
  /** Begins a sum, all of whose contributions are here. */
  protected abstract beginSum(step: StepKey, weights: SumWeights, counts: GlobalCounts): Transfer;
  /** Sums whatever can be, and ends in {@linkcode finish} when the sum is whole. */
  protected abstract sum(step: SummingStep<Transfer>): void;
  /** The ranks that a step waits for, and what of them. */
  protected abstract awaited(step: ReducingStep<Transfer>): { ranks: number[]; what: string };
  /** Asks the ranks again for what is missing. */
  protected abstract askRanks(step: ReducingStep<Transfer>): void;
  /** Sends again what a rank lacks. */
  protected abstract onMissing(header: Header<"missing">): void;

  /** Subscribes to all ranks; when the promise resolves, the workers may begin. */
  protected async open(): Promise<this> {
    const { link } = this;
    this.#subscriptions = [
      this.listen(),
      this.#values.listen(),
      link.subscribe(link.subjects.missing("coordinator"), {
        missing: ({ header }) => this.onMissing(header),
      }),
      link.onReconnect(() => this.step?.wait.askSoon()),
    ];
    await link.flush();
    return this;
  }

  async reduce(
    { epoch, step: number }: StepKey,
    decide: Decide,
    { signal }: ReduceOptions = {},
  ): Promise<StepTotals> {
    signal?.throwIfAborted();
    const step: ReducingStep<Transfer> = {
      epoch,
      step: number,
      decide,
      wait: new RetriedWait<StepTotals>({
        timeoutMs: this.#options.timeoutMs,
        askAgain: () => this.#askAgain(),
        isExcused: () => this.link.serverGone,
        silence: (seconds) => this.#silenceError(step, seconds),
      }),
      verdict: { finite: true, worstRank: undefined },
      phase: { at: "collecting" },
    };
    this.previous = this.step?.phase.at === "decided" ? this.step : undefined;
    this.step = step;
    this.#advance(step);
    return await step.wait.result(signal);
  }

  // deno-lint-ignore require-await -- the interface is asynchronous
  async close(): Promise<void> {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    this.step?.wait.fail(new LockstepError("The reducer was closed in the middle of a step"));
  }

  /** Takes a rank's contribution. */
  protected onContribution({ header }: Incoming<"contribution">): void {
    const inbox = this.ranks[header.rank];
    if (!inbox || this.isOver(header)) return;
    const mismatch = this.mismatchOf(header);
    if (mismatch !== undefined) return this.step?.wait.fail(new LockstepError(mismatch));
    if (inbox.begin(header)) this.progress();
  }

  /** Tells whether a message belongs to a step that is already decided. */
  protected isOver(key: StepKey): boolean {
    if (!this.step) return false;
    const order = compareSteps(key, this.step);
    return order < 0 || (order === 0 && this.step.phase.at === "decided");
  }

  /** Something of the present step has come. */
  protected progress(): void {
    const { step } = this;
    if (!step || step.phase.at === "decided") return;
    step.wait.progress();
    this.#advance(step);
  }

  /** The present step or the one before, by its key. */
  protected stepAt(key: StepKey): ReducingStep<Transfer> | undefined {
    return [this.step, this.previous].find((known) =>
      known !== undefined && compareSteps(known, key) === 0
    );
  }

  /** Notes that a step must not be taken; of several ranks the first one is to blame. */
  protected spoil(step: ReducingStep<Transfer>, rank: number | undefined): void {
    const { worstRank = rank } = step.verdict;
    const first = rank === undefined ? worstRank : Math.min(rank, worstRank!);
    step.verdict = { finite: false, worstRank: first };
  }

  /** Decides a step whose sum is whole, and sends the result. */
  protected finish(step: SummingStep<Transfer>): void {
    const { counts, ranks } = step.phase;
    const { epoch, step: number, verdict } = step;
    const action = step.decide({ epoch, step: number });
    const result = {
      ...{ epoch, step: number, ...counts, lossSum: toWireNumber(counts.lossSum) },
      action,
      finite: verdict.finite,
    };
    (step as ReducingStep<Transfer>).phase = { ...step.phase, at: "decided", result };
    this.link.publish(this.link.subjects.reduced, "result", result);
    step.wait.finish({ ...counts, ...verdict, action, ranks });
  }

  /** Asks a rank again for chunks, and for the message that the step waits for. */
  protected ask(rank: number, { epoch, step }: StepKey, chunks: number[], totals: boolean): void {
    const fields = { rank, epoch, step, chunks: chunks.slice(0, MAX_REQUESTED), totals };
    this.link.publish(this.link.subjects.missing(rank), "missing", fields);
  }

  #advance(step: ReducingStep<Transfer>): void {
    if (step.phase.at === "collecting") this.#collect(step);
    if (isSumming(step)) this.sum(step);
  }

  #collect(step: ReducingStep<Transfer>): void {
    try {
      const gathered = gatherTotals(this.ranks, step);
      if (!gathered) return;
      const { totals: counts, ranks, worstRank } = gathered;
      if (worstRank !== undefined) this.spoil(step, worstRank);
      const transfer = this.beginSum(step, sumWeights(this.ranks, counts), counts);
      step.phase = { at: "summing", counts, ranks, transfer };
    } catch (error) {
      step.wait.fail(error);
    }
  }

  #askAgain(): void {
    if (this.step && this.step.phase.at !== "decided") this.askRanks(this.step);
  }

  #silenceError(step: ReducingStep<Transfer>, seconds: number): LockstepError {
    const { ranks, what } = this.awaited(step);
    return noAnswerFrom(ranks, what, step, seconds, this.#options.describe);
  }
}

/** Tells whether a step's sum is being made. */
export function isSumming<Transfer>(
  step: ReducingStep<Transfer>,
): step is SummingStep<Transfer> {
  return step.phase.at === "summing";
}

/**
 * The worker's end of an all-reduce, as far as all exchanges have it in common: the phases of a step, its waits, and
 * the messages about it. How vectors move is up to the exchange.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import type { FloatRange } from "../base/float_range.ts";
import { compareSteps, type StepKey } from "../base/step_key.ts";
import type { Incoming, Link } from "../protocol/link.ts";
import { type Fields, type Header, toWireNumber } from "../protocol/messages.ts";
import { RetriedWait } from "../protocol/retried_wait.ts";
import { checkContribution } from "./check_contribution.ts";
import type { GradientExchange, StepContribution, StepResult } from "./gradient_exchange.ts";
import { noAnswer, RANK_TIMEOUT_MS } from "./silence.ts";
import type { RankShape, StepBuffers } from "./step_buffers.ts";

/** The subset of `Link` that an exchange uses. */
export type ExchangeLink = Pick<
  Link,
  | "subjects"
  | "publish"
  | "publishInPlace"
  | "publishFrame"
  | "subscribe"
  | "onReconnect"
  | "flush"
  | "maxPayloadBytes"
>;

/** Settings of a rank's end. */
export interface RankEndOptions extends RankShape {
  /** The memory of each step. */
  readonly buffers: StepBuffers;
  /** Milliseconds without any progress after which a step fails (210000 unless set). */
  readonly timeoutMs?: number;
}

/** A step that this rank is in, with what its exchange keeps for it. */
export interface RankStep<Transfer> {
  readonly contribution: StepContribution;
  readonly transfer: Transfer;
}

/** The phase that a rank's end is in; each has just what it needs. */
export type RankPhase<Transfer> =
  | { readonly at: "idle" }
  /** The vector is on its way, whole or in parts, and the sum is waited for. */
  | {
    readonly at: "contributing";
    readonly step: RankStep<Transfer>;
    /** Nothing of the contribution is still to be computed. */
    readonly isWhole: boolean;
    readonly wait: RetriedWait<readonly FloatRange[]>;
  }
  /** The sum is here, and the caller works on it. */
  | { readonly at: "summed"; readonly step: RankStep<Transfer> }
  /** The result is waited for. */
  | {
    readonly at: "agreeing";
    readonly step: RankStep<Transfer>;
    readonly squares: number;
    readonly wait: RetriedWait<StepResult>;
  }
  /** The result is here; the caller may write its shard of the regions, or begin the next step. */
  | { readonly at: "decided"; readonly key: StepKey; readonly finite: boolean }
  /** This rank's shard is written, and the others' are waited for. */
  | { readonly at: "gathering"; readonly key: StepKey; readonly wait: RetriedWait<void> }
  | { readonly at: "closed" };

/** A phase by its name. */
export type PhaseAt<Transfer, At extends RankPhase<Transfer>["at"]> = Extract<
  RankPhase<Transfer>,
  { at: At }
>;

/** The fields of a contribution that describe the form in which its vector travels. */
export type VectorFormat = Pick<
  Fields<"contribution">,
  "bytes" | "chunkBytes" | "dtype" | "narrowBytes"
>;

/** The chunks and messages of a step that a rank lacks. */
export interface Missing {
  readonly chunks: number[];
  /** True when the message that ends the phase is missing. */
  readonly totals: boolean;
}

/** One rank's end of an all-reduce under the coordinator's `ReducerEnd`. */
export abstract class RankEnd<Transfer> implements GradientExchange {
  protected readonly link: ExchangeLink;
  protected readonly rank: number;
  protected readonly worldSize: number;
  protected readonly buffers: StepBuffers;
  protected phase: RankPhase<Transfer> = { at: "idle" };
  readonly #timeoutMs: number;
  #subscriptions: { unsubscribe(): void }[] = [];

  protected constructor(link: ExchangeLink, options: RankEndOptions) {
    this.link = link;
    this.rank = options.rank;
    this.worldSize = options.worldSize;
    this.buffers = options.buffers;
    this.#timeoutMs = options.timeoutMs ?? RANK_TIMEOUT_MS;
  }

  /** The shape in which this rank's vectors travel. */
  protected abstract readonly format: VectorFormat;
  /** Subscribes to the messages to all ranks; `result` goes to {@linkcode onResult}. */
  protected abstract listen(): { unsubscribe(): void };
  /** Makes what a step keeps. */
  protected abstract begin(): Transfer;
  /** Sends what is left of a contribution that is whole. */
  protected abstract contribute(phase: PhaseAt<Transfer, "contributing">): void;
  /** Brings the squares to the others, or knows the result already. */
  protected abstract sendSquares(phase: PhaseAt<Transfer, "agreeing">): void;
  /** Tells the others that the shard is written, or knows that nobody waits for it. */
  protected abstract sendWritten(phase: PhaseAt<Transfer, "gathering">): void;
  /** Lists what this rank lacks in the phase that it is in. */
  protected abstract missing(): Missing;
  /** Sends again what the coordinator lacks. */
  protected abstract onMissing(header: Header<"missing">): void;

  /** Subscribes this rank; when the promise resolves, the coordinator may begin. */
  protected async open(): Promise<this> {
    const { link, rank } = this;
    this.#subscriptions = [
      this.listen(),
      link.subscribe(link.subjects.missing(rank), {
        missing: ({ header }) => this.onMissing(header),
      }),
      link.onReconnect(() => this.#askAgain()),
    ];
    await link.flush();
    return this;
  }

  async reduceScatter(
    contribution: StepContribution,
    signal?: AbortSignal,
  ): Promise<readonly FloatRange[]> {
    signal?.throwIfAborted();
    const { step, isWhole, wait } = this.contributing(contribution);
    if (isWhole || compareSteps(contribution, step.contribution) !== 0) throw stillRunning();
    const phase = this.phase = { at: "contributing", step, isWhole: true, wait } as const;
    wait.progress();
    return await this.#waitIn(phase, wait, signal, () => this.contribute(phase));
  }

  async agree(squares: number, signal?: AbortSignal): Promise<StepResult> {
    signal?.throwIfAborted();
    if (this.phase.at !== "summed") throw new TypeError("agree() was called without a sum");
    const { step } = this.phase;
    const wait = this.#wait<StepResult>(step.contribution);
    const phase = this.phase = { at: "agreeing", step, squares, wait } as const;
    return await this.#waitIn(phase, wait, signal, () => this.sendSquares(phase));
  }

  async allGather(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.phase.at !== "decided" || !this.phase.finite) {
      throw new TypeError("allGather() was called without a sum");
    }
    const { key } = this.phase;
    const wait = this.#wait<void>(key);
    const phase = this.phase = { at: "gathering", key, wait } as const;
    await this.#waitIn(phase, wait, signal, () => this.sendWritten(phase));
  }

  // deno-lint-ignore require-await -- the interface is asynchronous
  async close(): Promise<void> {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    const { phase } = this;
    this.phase = { at: "closed" };
    if (!("wait" in phase)) return;
    phase.wait.fail(new LockstepError("The exchange was closed in the middle of a step"));
  }

  /** The step of a contribution, which begins with the first part of it. */
  protected contributing(contribution: StepContribution): PhaseAt<Transfer, "contributing"> {
    const { phase } = this;
    if (phase.at === "contributing") return phase;
    if (phase.at === "closed") throw new TypeError("An exchange was used after close()");
    if (phase.at !== "idle" && phase.at !== "decided") throw stillRunning();
    checkContribution(this.rank, contribution);
    const step = { contribution, transfer: this.begin() };
    const wait = this.#wait<readonly FloatRange[]>(contribution);
    this.publishContribution(contribution);
    return this.phase = { at: "contributing", step, isWhole: false, wait };
  }

  /** The phase, where it is of this name and of the step that a message is about. */
  protected phaseAt<At extends "contributing" | "agreeing">(
    at: At,
    key: StepKey,
  ): PhaseAt<Transfer, At> | undefined {
    const { phase } = this;
    if (phase.at !== at || !("step" in phase)) return undefined;
    if (compareSteps(key, phase.step.contribution) !== 0) return undefined;
    return phase as PhaseAt<Transfer, At>;
  }

  /** The sum is here. */
  protected finishSum(
    { step, wait }: PhaseAt<Transfer, "contributing">,
    ranges: readonly FloatRange[],
  ): void {
    this.phase = { at: "summed", step };
    wait.finish(ranges);
  }

  /** The result is here. */
  protected finishStep({ step, wait }: PhaseAt<Transfer, "agreeing">, result: StepResult): void {
    const { contribution: { epoch, step: number } } = step;
    this.phase = { at: "decided", key: { epoch, step: number }, finite: result.finite };
    wait.finish(result);
  }

  /** All shards of the regions are written. */
  protected finishGathering({ wait }: PhaseAt<Transfer, "gathering">): void {
    this.phase = { at: "idle" };
    wait.finish();
  }

  /** Tells the coordinator about this rank's step. */
  protected publishContribution(contribution: StepContribution): void {
    const { epoch, step, samples, weight, lossSum, correct, times = null } = contribution;
    const { statisticsRows = samples, trackedBatches = 0 } = contribution;
    this.link.publish(this.link.subjects.gradient(this.rank), "contribution", {
      rank: this.rank,
      epoch,
      step,
      samples,
      weight,
      lossSum: toWireNumber(lossSum),
      correct,
      statisticsRows,
      trackedBatches,
      times,
      ...this.format,
    });
  }

  /** Asks the coordinator again for what this rank lacks. */
  protected ask({ epoch, step }: StepKey, { chunks, totals }: Missing): void {
    const fields = { rank: this.rank, epoch, step, chunks, totals };
    this.link.publish(this.link.subjects.missing("coordinator"), "missing", fields);
  }

  #askAgain(): void {
    const { phase } = this;
    if (!("wait" in phase)) return;
    // While its vector is being computed, it is this rank that the others wait for.
    if (phase.at === "contributing" && !phase.isWhole) phase.wait.progress();
    this.ask(phase.at === "gathering" ? phase.key : phase.step.contribution, this.missing());
  }

  #wait<T>(key: StepKey): RetriedWait<T> {
    return new RetriedWait<T>({
      timeoutMs: this.#timeoutMs,
      askAgain: () => this.#askAgain(),
      silence: (seconds) => noAnswer(this.rank, key, seconds),
    });
  }

  /** Begins a phase and waits for its end; after a failure there is no step any more. */
  async #waitIn<T>(
    phase: RankPhase<Transfer>,
    wait: RetriedWait<T>,
    signal: AbortSignal | undefined,
    send: () => void,
  ): Promise<T> {
    try {
      send();
      return await wait.result(signal);
    } catch (error) {
      if (this.phase === phase) this.phase = { at: "idle" };
      throw error;
    }
  }
}

/** Reads the result of a step from its message. */
export function resultOf({ header }: Incoming<"result">): StepResult {
  const { samples, weight, correct, statisticsRows, action, finite } = header;
  const [lossSum, squares] = [Number(header.lossSum), Number(header.squares)];
  return { samples, weight, lossSum, correct, statisticsRows, action, finite, squares };
}

function stillRunning(): TypeError {
  return new TypeError("reduceScatter() was called while a step is still running");
}

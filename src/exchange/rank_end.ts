/**
 * The worker's end of an all-reduce by messages: the phases of a step, its wait, and the messages about it. How vectors
 * move is up to the exchange.
 *
 * @module
 */
import { given } from "../base/given.ts";
import type { FloatRange } from "../base/float_range.ts";
import { compareSteps, type StepKey } from "../base/step_key.ts";
import { hostOf } from "../engine/device_memory.ts";
import type { Incoming, Link } from "../protocol/link.ts";
import { type Fields, type Header, toWireNumber } from "../protocol/messages.ts";
import { RetriedWait } from "../protocol/retried_wait.ts";
import { checkContribution } from "./check_contribution.ts";
import type { GradientExchange, StepContribution, StepResult } from "./gradient_exchange.ts";
import { RankValues } from "./nats_values.ts";
import type { NcclParts } from "./open_nccl.ts";
import { closedError, noAnswer, RANK_TIMEOUT_MS } from "./silence.ts";
import type { RankShape, StepBuffers } from "./step_buffers.ts";

/** The subset of `Link` that an exchange uses. */
export type ExchangeLink = Pick<
  Link,
  | "subjects"
  | "publish"
  | "publishInPlace"
  | "subscribe"
  | "onReconnect"
  | "flush"
  | "maxPayloadBytes"
  | "serverGone"
>;

/** Settings of a rank's end. */
export interface RankEndOptions extends RankShape {
  /** The memory of each step. */
  readonly buffers: StepBuffers;
  /** The parts of an exchange by NCCL. */
  readonly nccl?: NcclParts;
  /** Milliseconds without any progress after which a step fails (210000 unless set). */
  readonly timeoutMs?: number;
  /** Milliseconds after which a sum that the GPUs make together counts as hung; `timeoutMs` unless set. */
  readonly sumTimeoutMs?: number;
  /** The report of a standstill, where this rank makes one: see `hang_watch.ts`. */
  readonly hangs?: HangOptions;
}

/** The report of a standstill that a rank makes where the coordinator makes none. */
export interface HangOptions {
  /** Milliseconds without any rank's progress after which the coordinator reports a standstill. */
  readonly afterMs: number;
  readonly onReport: (message: string) => void;
}

/** A step that this rank is in, with what its exchange keeps for it. */
export interface RankStep<Transfer> {
  readonly contribution: StepContribution;
  readonly transfer: Transfer;
}

/** The result of a step as its message says it: each rank adds the squares of the whole sum, which it has. */
export type SumResult = Omit<StepResult, "squares">;

/** The phase in which the vector is on its way, whole or in parts, and the sum is waited for. */
export interface Contributing<Transfer> {
  readonly at: "contributing";
  readonly step: RankStep<Transfer>;
  /** Nothing of the contribution is still to be computed. */
  readonly isWhole: boolean;
  readonly wait: RetriedWait<readonly FloatRange[]>;
}

/** The phase that a rank's end is in; each has just what it needs. */
export type RankPhase<Transfer> =
  | { readonly at: "idle" | "closed" }
  | Contributing<Transfer>
  /** The sum is here, and the caller works on it. */
  | { readonly at: "summed"; readonly result: SumResult }
  /** The caller knows the result, and may write the regions or begin the next step. */
  | { readonly at: "decided"; readonly finite: boolean };

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
  /** This rank's vector, and the memory of the sum. */
  protected readonly vector: Uint8Array<ArrayBuffer>;
  protected readonly reduced: Uint8Array<ArrayBuffer>;
  protected phase: RankPhase<Transfer> = { at: "idle" };
  readonly #timeoutMs: number;
  readonly #values: RankValues;
  #subscriptions: { unsubscribe(): void }[] = [];

  protected constructor(link: ExchangeLink, options: RankEndOptions) {
    this.link = link;
    this.rank = options.rank;
    this.worldSize = options.worldSize;
    this.vector = hostOf(options.buffers.vector);
    this.reduced = hostOf(options.buffers.reduced);
    this.#timeoutMs = options.timeoutMs ?? RANK_TIMEOUT_MS;
    this.#values = new RankValues(link, this.rank, this.#timeoutMs);
  }

  /** The shape in which this rank's vectors travel. */
  protected abstract readonly format: VectorFormat;
  /** Subscribes to the messages to all ranks; `result` goes to {@linkcode onResult}. */
  protected abstract listen(): { unsubscribe(): void };
  /** Makes what a step keeps. */
  protected abstract begin(): Transfer;
  /** Sends what is left of a contribution that is whole. */
  protected abstract contribute(phase: Contributing<Transfer>): void;
  /** Lists what this rank lacks. */
  protected abstract missing(phase: Contributing<Transfer>): Missing;
  /** Sends again what the coordinator lacks. */
  protected abstract onMissing(header: Header<"missing">): void;

  /** Subscribes this rank; when the promise resolves, the coordinator may begin. */
  protected async open(): Promise<this> {
    const { link, rank } = this;
    this.#subscriptions = [
      this.listen(),
      this.#values.listen(),
      link.subscribe(link.subjects.missing(rank), {
        missing: ({ header }) => this.onMissing(header),
      }),
      link.onReconnect(() => {
        if (this.phase.at === "contributing") this.phase.wait.askSoon();
        this.#values.askSoon();
      }),
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
    try {
      this.contribute(phase);
      return await wait.result(signal);
    } catch (error) {
      if (this.phase === phase) this.phase = { at: "idle" };
      throw error;
    }
  }

  // deno-lint-ignore require-await -- the interface is asynchronous
  async agree(squares: number, signal?: AbortSignal): Promise<StepResult> {
    signal?.throwIfAborted();
    if (this.phase.at !== "summed") throw new TypeError("agree() was called without a sum");
    const { result } = this.phase;
    this.phase = { at: "decided", finite: result.finite };
    return { ...result, squares };
  }

  // deno-lint-ignore require-await -- the interface is asynchronous
  async allGather(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.phase.at !== "decided" || !this.phase.finite) {
      throw new TypeError("allGather() was called without a sum");
    }
    this.phase = { at: "idle" }; // every rank makes the same of the whole sum: nobody waits
  }

  async allReduce(values: Float64Array, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.phase.at === "closed") throw new TypeError("An exchange was used after close()");
    if (this.worldSize > 1) await this.#values.allReduce(values, signal);
  }

  // deno-lint-ignore require-await -- the interface is asynchronous
  async close(): Promise<void> {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    const { phase } = this;
    this.phase = { at: "closed" };
    const closed = closedError();
    this.#values.close(closed);
    if (phase.at === "contributing") phase.wait.fail(closed);
  }

  /** The step of a contribution, which begins with the first part of it. */
  protected contributing(contribution: StepContribution): Contributing<Transfer> {
    const { phase } = this;
    if (phase.at === "contributing") return phase;
    if (phase.at === "closed") throw new TypeError("An exchange was used after close()");
    if (phase.at === "summed") throw stillRunning();
    checkContribution(this.rank, contribution);
    const step = { contribution, transfer: this.begin() };
    const wait = new RetriedWait<readonly FloatRange[]>({
      timeoutMs: this.#timeoutMs,
      askAgain: () => this.#askAgain(),
      isExcused: () => this.link.serverGone,
      silence: (seconds) => noAnswer(this.rank, contribution, seconds),
    });
    this.publishContribution(contribution);
    return this.phase = { at: "contributing", step, isWhole: false, wait };
  }

  /** The phase, where it is that of the step that a message is about. */
  protected contributingTo(key: StepKey): Contributing<Transfer> | undefined {
    const { phase } = this;
    if (phase.at !== "contributing") return undefined;
    return compareSteps(key, phase.step.contribution) === 0 ? phase : undefined;
  }

  /** The sum and the result are here. */
  protected finishSum(
    { wait }: Contributing<Transfer>,
    result: SumResult,
    ranges: readonly FloatRange[],
  ): void {
    this.phase = { at: "summed", result };
    wait.finish(ranges);
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
      ...given("digest", contribution.digest),
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
    if (phase.at !== "contributing") return;
    // While its vector is being computed, it is this rank that the others wait for.
    if (!phase.isWhole) phase.wait.progress();
    this.ask(phase.step.contribution, this.missing(phase));
  }
}

/** Reads the result of a step from its message. */
export function resultOf({ header }: Incoming<"result">): SumResult {
  const { samples, weight, correct, statisticsRows, action, finite } = header;
  return {
    samples,
    weight,
    lossSum: Number(header.lossSum),
    correct,
    statisticsRows,
    action,
    finite,
  };
}

function stillRunning(): TypeError {
  return new TypeError("reduceScatter() was called while a step is still running");
}

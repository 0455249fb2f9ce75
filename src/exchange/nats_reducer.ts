/**
 * The coordinator's end of the all-reduce over NATS: adds the ranks' chunks as soon as all are there, in rank
 * order, and publishes each sum at once.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { FRAME_HEADER_BYTES } from "../protocol/codec.ts";
import type { Incoming, Link } from "../protocol/link.ts";
import { type Fields, type Header, toWireNumber } from "../protocol/messages.ts";
import { type ChunkPlan, MAX_REQUESTED, planChunks, type WireFormat } from "./chunks.ts";
import { compareSteps, type StepKey } from "../base/step_key.ts";
import type { RankReport, Reducer, StepTotals } from "./gradient_exchange.ts";
import { narrow, type NarrowDtype } from "./narrow.ts";
import { RankInbox } from "./rank_inbox.ts";
import { noAnswerFrom, StepWait } from "./step_wait.ts";
import { gatherTotals, type GlobalCounts, type SumWeights, sumWeights } from "./totals.ts";
import { allFinite, weightedSum } from "./weighted_sum.ts";

/** Settings of the reducer. */
export interface NatsReducerOptions {
  readonly worldSize: number;
  /** Length of every step's vector. */
  readonly vectorBytes: number;
  /** The format of the gradients; float32 unless given. */
  readonly wire?: WireFormat;
  /** Milliseconds without any progress after which a step fails (180000 unless set). */
  readonly timeoutMs?: number;
  /** Describes a rank's last activity, as a sentence, for the error when the rank keeps silent. */
  readonly describe?: (rank: number) => string | undefined;
}

const FLOAT_BYTES = 4;

/** The step that is being reduced, or the last one that was. */
interface ReducingStep extends StepKey {
  readonly decide: () => "continue" | "stop";
  readonly wait: StepWait<StepTotals>;
  /** Known as soon as every rank's contribution has arrived. */
  totals?: GlobalCounts | undefined;
  /** Known with the totals. */
  ranks: readonly RankReport[];
  /** Chunks that are summed and published. */
  published: number;
  result?: Fields<"result">;
  worstRank?: number | undefined;
  tooLargeFor?: NarrowDtype | undefined;
  finite: boolean;
}

/** Sums the workers' vectors, step by step. */
export class NatsReducer implements Reducer {
  readonly #link: Link;
  readonly #plan: ChunkPlan;
  readonly #timeoutMs: number | undefined;
  readonly #describe: NatsReducerOptions["describe"];
  /** Floats of a vector that are gradients; running statistics follow. */
  readonly #gradientFloats: number;
  readonly #ranks: RankInbox[];
  // One frame per chunk: sums are made in place, and can be sent again until the next step begins.
  readonly #frames: Uint8Array<ArrayBuffer>[];
  /** A sum before it is narrowed. */
  readonly #wideSum: Float32Array<ArrayBuffer>;
  readonly #subscriptions: { unsubscribe(): void }[] = [];
  #step: ReducingStep | undefined;
  /** The step before, whose sums are still in the frames until all ranks have begun the current one. */
  #previous: ReducingStep | undefined;

  private constructor(link: Link, options: NatsReducerOptions) {
    this.#link = link;
    this.#timeoutMs = options.timeoutMs;
    this.#describe = options.describe;
    const { vectorBytes, worldSize, wire } = options;
    const plan = planChunks(vectorBytes, worldSize, link.maxPayloadBytes, wire);
    this.#plan = plan;
    this.#gradientFloats = (wire?.gradientBytes ?? vectorBytes) / FLOAT_BYTES;
    this.#ranks = Array.from({ length: worldSize }, (_, rank) => new RankInbox(rank, plan));
    this.#frames = plan.chunks.map(({ bytes }) => new Uint8Array(FRAME_HEADER_BYTES + bytes));
    this.#wideSum = new Float32Array(plan.narrowBytes > 0 ? plan.floatBytes / FLOAT_BYTES : 0);
  }

  /**
   * Subscribes to all ranks; when the promise resolves, the workers may begin.
   *
   * @throws {LockstepError} When the connection is gone
   */
  static async open(link: Link, options: NatsReducerOptions): Promise<NatsReducer> {
    const reducer = new NatsReducer(link, options);
    reducer.#subscriptions.push(
      link.subscribe(link.subjects.gradient("*"), {
        contribution: (message) => reducer.#onContribution(message),
        gradient: (message) => reducer.#onGradient(message),
      }, {
        onCorrupt: (header, error) => reducer.#onCorrupt(header, error),
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
    const previous = this.#step;
    this.#step = { ...key, decide, wait, ranks: [], published: 0, finite: true };
    this.#previous = previous?.result ? previous : undefined;
    this.#advance(this.#step);
    return await wait.result(signal);
  }

  // deno-lint-ignore require-await -- symmetrical with the exchange's
  async close(): Promise<void> {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    this.#step?.wait.end();
    this.#step?.wait.fail(new LockstepError("The reducer was closed in the middle of a step"));
  }

  #onContribution({ header }: Incoming<"contribution">): void {
    const inbox = this.#ranks[header.rank];
    if (!inbox || this.#isOver(header)) return;
    const mismatch = mismatchOf(header, this.#plan);
    if (mismatch !== undefined) return this.#step?.wait.fail(new LockstepError(mismatch));
    if (inbox.begin(header)) this.#progress();
  }

  #onGradient({ header, payload }: Incoming<"gradient">): void {
    const inbox = this.#ranks[header.rank];
    if (!inbox || this.#isOver(header)) return;
    if (inbox.add(header, payload)) this.#progress();
  }

  #onCorrupt(header: Header<"contribution" | "gradient">, error: LockstepError): void {
    const reducing = this.#step;
    const { rank } = header;
    if (!reducing || this.#isOver(header) || !this.#ranks[rank] || !("chunk" in header)) return;
    if (reducing.wait.damaged()) return reducing.wait.fail(error);
    this.#requestMissing(rank, header, [header.chunk], false);
  }

  /** Tells whether a message belongs to a step that is already reduced. */
  #isOver(place: StepKey): boolean {
    if (!this.#step) return false;
    const order = compareSteps(place, this.#step);
    return order < 0 || (order === 0 && this.#step.result !== undefined);
  }

  #progress(): void {
    const reducing = this.#step;
    if (!reducing || reducing.result) return;
    reducing.wait.progress();
    this.#advance(reducing);
  }

  /** Sums and publishes whatever can be. */
  #advance(step: ReducingStep): void {
    step.totals ??= this.#gatherTotals(step);
    if (!step.totals) return;
    const senders = this.#ranks.filter((inbox) => inbox.samples > 0);
    const weights = sumWeights(senders, step.totals);
    while (step.published < this.#plan.chunks.length) {
      const chunk = step.published;
      if (!senders.every((inbox) => inbox.has(chunk))) return;
      this.#sumChunk(step, chunk, senders, weights);
      const { epoch, step: number } = step;
      const fields = { epoch, step: number, chunk };
      this.#link.publishInPlace(
        this.#link.subjects.reduced,
        "reduced",
        fields,
        this.#frames[chunk],
      );
      step.published++;
    }
    this.#publishResult(step);
  }

  #gatherTotals(step: ReducingStep): GlobalCounts | undefined {
    try {
      const gathered = gatherTotals(this.#ranks, step);
      if (gathered) step.ranks = gathered.ranks;
      if (gathered?.worstRank !== undefined) this.#notFinite(step, gathered.worstRank);
      return gathered?.totals;
    } catch (error) {
      step.wait.fail(error);
    }
  }

  #sumChunk(
    step: ReducingStep,
    chunk: number,
    senders: readonly RankInbox[],
    weights: SumWeights,
  ): void {
    const frame = this.#frames[chunk];
    const { begin, floats, dtype } = this.#plan.chunks[chunk];
    const isNarrow = dtype !== "float32";
    const target = isNarrow
      ? this.#wideSum.subarray(0, floats)
      : new Float32Array(frame.buffer, FRAME_HEADER_BYTES, floats);
    const received = senders.map((inbox) => inbox.chunk(chunk));
    const border = Math.min(floats, Math.max(0, this.#gradientFloats - begin));
    const values = received.map(({ values }) => values);
    const isFinite = [
      sumCounted(target, values, weights.gradients, 0, border),
      sumCounted(target, values, weights.statistics, border, floats),
    ].every((finite) => finite);
    if (!isFinite) {
      const worst = received.findIndex(({ values }) => !allFinite(values));
      const tooLargeFor = isNarrow && received[worst]?.tooLarge ? dtype : undefined;
      this.#notFinite(step, senders[worst]?.rank, tooLargeFor);
    }
    if (isNarrow && narrow(frame.subarray(FRAME_HEADER_BYTES), target, dtype)) {
      this.#notFinite(step, undefined, dtype);
    }
    for (const inbox of senders) inbox.release(chunk);
  }

  /** Notes what was found first. */
  #notFinite(step: ReducingStep, rank: number | undefined, tooLargeFor?: NarrowDtype): void {
    if (!step.finite) return;
    step.finite = false;
    step.worstRank = rank;
    step.tooLargeFor = tooLargeFor;
  }

  #publishResult(step: ReducingStep): void {
    const totals = step.totals!;
    const action = step.decide();
    const { finite, worstRank, tooLargeFor, ranks } = step;
    step.result = {
      epoch: step.epoch,
      step: step.step,
      ...totals,
      lossSum: toWireNumber(totals.lossSum),
      action,
      finite,
      measure: 0,
    };
    this.#link.publish(this.#link.subjects.reduced, "result", step.result);
    step.wait.finish({
      ...totals,
      finite,
      worstRank,
      action,
      ranks,
      ...(tooLargeFor ? { tooLargeFor } : {}),
    });
  }

  /** A rank asks again for sums; the frames hold them until the next step's contributions are complete. */
  #onMissing({ header }: Incoming<"missing">): void {
    const step = [this.#step, this.#previous].find((known) =>
      known !== undefined && compareSteps(known, header) === 0
    );
    if (!step || (step === this.#previous && this.#step?.totals)) return;
    for (const chunk of header.chunks) {
      if (chunk < step.published) {
        this.#link.publishFrame(this.#link.subjects.reduced, this.#frames[chunk]);
      }
    }
    if (header.totals && step.result) {
      this.#link.publish(this.#link.subjects.reduced, "result", step.result);
    }
  }

  #askAgain(): void {
    const step = this.#step;
    if (!step || step.result) return;
    for (const inbox of this.#ranks) {
      const begun = inbox.hasBegun(step);
      const chunks = begun && inbox.samples === 0 ? [] : inbox.missing(step.published);
      if (!begun || chunks.length > 0) this.#requestMissing(inbox.rank, step, chunks, !begun);
    }
  }

  #requestMissing(rank: number, place: StepKey, chunks: number[], totals: boolean): void {
    const { epoch, step } = place;
    const fields = { rank, epoch, step, chunks: chunks.slice(0, MAX_REQUESTED), totals };
    this.#link.publish(this.#link.subjects.missing(rank), "missing", fields);
  }

  #silenceError(seconds: number): LockstepError {
    const step = this.#step!;
    const silent = this.#ranks.filter((inbox) =>
      !inbox.hasBegun(step) || (inbox.samples > 0 && !inbox.has(step.published))
    ).map(({ rank }) => rank);
    return noAnswerFrom(silent, "gradients", step, seconds, this.#describe);
  }
}

/**
 * Adds the vectors that count, as far as a range goes.
 *
 * @param weights One for each vector; null for one that doesn't count
 * @returns Whether the sum is finite
 */
function sumCounted(
  target: Float32Array,
  vectors: readonly Float32Array[],
  weights: readonly (number | null)[],
  begin: number,
  end: number,
): boolean {
  if (begin >= end) return true;
  const counted = vectors.filter((_, index) => weights[index] !== null);
  return weightedSum(
    target.subarray(begin, end),
    counted.map((vector) => vector.subarray(begin, end)),
    weights.filter((weight) => weight !== null),
  );
}

/**
 * Describes how a rank cuts its vectors otherwise than the coordinator expects, with both values; returns
 * nothing if it doesn't.
 */
function mismatchOf(rank: Fields<"contribution">, plan: ChunkPlan): string | undefined {
  if (rank.dtype !== plan.dtype) {
    return `Rank ${rank.rank} sends its gradients as ${rank.dtype}, the coordinator expects ${plan.dtype}: ` +
      "their configs differ in nats.gradientDtype";
  }
  if (rank.bytes !== plan.bytes || rank.chunkBytes !== plan.chunkBytes) {
    return `Rank ${rank.rank} exchanges ${rank.bytes} bytes in chunks of ${rank.chunkBytes}, ` +
      `the coordinator ${plan.bytes} in chunks of ${plan.chunkBytes}: their models or servers differ`;
  }
  if (rank.narrowBytes !== plan.narrowBytes) {
    return `Rank ${rank.rank} sends ${rank.narrowBytes} bytes of its vector as ${rank.dtype}, ` +
      `the coordinator expects ${plan.narrowBytes}: their models differ`;
  }
}

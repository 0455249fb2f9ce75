/**
 * The coordinator's end of the all-reduce over NATS: adds the ranks' chunks as soon as all are there, in rank
 * order, and publishes each sum at once.
 *
 * @module
 */
import { itemAt } from "../base/item_at.ts";
import type { LockstepError } from "../base/errors.ts";
import { type StepKey } from "../base/step_key.ts";
import { FRAME_HEADER_BYTES } from "../protocol/codec.ts";
import type { Incoming } from "../protocol/link.ts";
import type { Fields, Header } from "../protocol/messages.ts";
import { type ChunkPlan, planChunks } from "./chunks.ts";
import { narrow, type NarrowDtype } from "./narrow.ts";
import type { RankInbox } from "./rank_inbox.ts";
import type { ExchangeLink } from "./rank_end.ts";
import {
  ReducerEnd,
  type ReducerEndOptions,
  type ReducingStep,
  type SummingStep,
} from "./reducer_end.ts";
import { gradientFloats } from "./step_buffers.ts";
import { type GlobalCounts, type SumWeights, sumWeights } from "./totals.ts";
import { allFinite, weightedSum } from "./weighted_sum.ts";

/** The state of a sum that is made chunk by chunk. */
interface ChunkedSum {
  /** The ranks that have a vector. */
  readonly senders: readonly RankInbox[];
  /** Of the senders. */
  readonly weights: SumWeights;
  /** Chunks that are summed and published. */
  published: number;
}

/**
 * Subscribes to all ranks; when the promise resolves, the workers may begin.
 *
 * @throws {LockstepError} When the connection is gone
 */
export async function openReducer(
  link: ExchangeLink,
  options: ReducerEndOptions,
): Promise<NatsReducer> {
  return await NatsReducer.open(link, options);
}

/** Sums the workers' vectors, step by step. */
export class NatsReducer extends ReducerEnd<ChunkedSum> {
  readonly #plan: ChunkPlan;
  /** Floats of a vector that are gradients; running statistics follow. */
  readonly #gradientFloats: number;
  // One frame per chunk: sums are made in place, and can be sent again until the next step begins.
  readonly #frames: Uint8Array<ArrayBuffer>[];
  /** A sum before it is narrowed. */
  readonly #wideSum: Float32Array<ArrayBuffer>;

  private constructor(link: ExchangeLink, options: ReducerEndOptions, plan: ChunkPlan) {
    super(link, options, plan);
    this.#plan = plan;
    this.#gradientFloats = gradientFloats(options);
    this.#frames = plan.chunks.map(({ bytes }) => new Uint8Array(FRAME_HEADER_BYTES + bytes));
    const wide = plan.narrowBytes > 0 ? plan.floatBytes / Float32Array.BYTES_PER_ELEMENT : 0;
    this.#wideSum = new Float32Array(wide);
  }

  /** As {@linkcode openReducer}. */
  static async open(link: ExchangeLink, options: ReducerEndOptions): Promise<NatsReducer> {
    const { vectorBytes, worldSize, wire } = options;
    const plan = planChunks(vectorBytes, worldSize, link.maxPayloadBytes, wire);
    return await new NatsReducer(link, options, plan).open();
  }

  protected override listen() {
    return this.link.subscribe(this.link.subjects.gradient("*"), {
      contribution: (message) => this.onContribution(message),
      gradient: (message) => this.#onGradient(message),
    }, {
      onCorrupt: (header, error) => this.#onCorrupt(header, error),
    });
  }

  #onGradient({ header, payload }: Incoming<"gradient">): void {
    const inbox = this.ranks[header.rank];
    if (!inbox || this.isOver(header)) return;
    if (inbox.add(header, payload)) this.progress();
  }

  #onCorrupt(header: Header<"contribution" | "gradient">, error: LockstepError): void {
    const { step } = this;
    const { rank } = header;
    if (!step || this.isOver(header) || !this.ranks[rank] || !("chunk" in header)) return;
    if (step.wait.damaged()) return step.wait.fail(error);
    this.ask(rank, header, [header.chunk], false);
  }

  /**
   * Describes how a rank cuts its vectors otherwise than the coordinator expects, with both values; returns
   * nothing if it doesn't.
   */
  protected override mismatchOf(rank: Fields<"contribution">): string | undefined {
    const plan = this.#plan;
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

  protected override beginSum(_: StepKey, _weights: SumWeights, counts: GlobalCounts): ChunkedSum {
    const senders = this.ranks.filter((inbox) => inbox.samples > 0);
    return { senders, weights: sumWeights(senders, counts), published: 0 };
  }

  /** Sums and publishes whatever can be. */
  protected override sum(summing: SummingStep<ChunkedSum>): void {
    const { epoch, step, phase: { transfer } } = summing;
    while (transfer.published < this.#plan.chunks.length) {
      const chunk = transfer.published;
      if (!transfer.senders.every((inbox) => inbox.has(chunk))) return;
      this.#sumChunk(summing, chunk);
      const fields = { epoch, step, chunk };
      const { reduced } = this.link.subjects;
      this.link.publishInPlace(reduced, "reduced", fields, itemAt(this.#frames, chunk));
      transfer.published++;
    }
    this.finish(summing);
  }

  #sumChunk(step: SummingStep<ChunkedSum>, chunk: number): void {
    const { senders, weights } = step.phase.transfer;
    const frame = itemAt(this.#frames, chunk);
    const { begin, floats, dtype } = itemAt(this.#plan.chunks, chunk);
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
      this.#spoilFirst(step, senders[worst]?.rank, tooLargeFor);
    }
    if (isNarrow && narrow(frame.subarray(FRAME_HEADER_BYTES), target, dtype)) {
      this.#spoilFirst(step, undefined, dtype);
    }
    for (const inbox of senders) inbox.release(chunk);
  }

  /** Notes what was found first. */
  #spoilFirst(
    step: ReducingStep<ChunkedSum>,
    worstRank: number | undefined,
    tooLargeFor?: NarrowDtype,
  ): void {
    if (!step.verdict.finite) return;
    step.verdict = { finite: false, worstRank, ...(tooLargeFor ? { tooLargeFor } : {}) };
  }

  /** A rank asks again for sums; the frames hold them until the next step's contributions are complete. */
  protected override onMissing(header: Header<"missing">): void {
    const step = this.stepAt(header);
    if (!step || step.phase.at === "collecting") return;
    if (step === this.previous && this.step?.phase.at !== "collecting") return;
    const { phase } = step;
    for (const chunk of header.chunks) {
      if (chunk >= phase.transfer.published) continue;
      const fields = { epoch: header.epoch, step: header.step, chunk };
      const payload = itemAt(this.#frames, chunk).subarray(FRAME_HEADER_BYTES);
      this.link.publish(this.link.subjects.reduced, "reduced", fields, payload);
    }
    if (header.totals && phase.at === "decided") {
      this.link.publish(this.link.subjects.reduced, "result", phase.result);
    }
  }

  protected override askRanks(step: ReducingStep<ChunkedSum>): void {
    for (const inbox of this.ranks) {
      const begun = inbox.hasBegun(step);
      const chunks = begun && inbox.samples === 0 ? [] : inbox.missing(publishedOf(step));
      if (!begun || chunks.length > 0) this.ask(inbox.rank, step, chunks, !begun);
    }
  }

  protected override awaited(step: ReducingStep<ChunkedSum>): { ranks: number[]; what: string } {
    const published = publishedOf(step);
    const ranks = this.ranks.filter((inbox) =>
      !inbox.hasBegun(step) || (inbox.samples > 0 && !inbox.has(published))
    ).map(({ rank }) => rank);
    return { ranks, what: "gradients" };
  }
}

function publishedOf({ phase }: ReducingStep<ChunkedSum>): number {
  return phase.at === "collecting" ? 0 : phase.transfer.published;
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

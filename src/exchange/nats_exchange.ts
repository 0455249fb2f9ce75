/**
 * The worker's end of the all-reduce over NATS.
 *
 * A step goes: contribution (samples, loss), then the rank's vector in chunks, the last first, while the
 * reduced chunks come back; then the result. Chunks go out as soon as they are final. A rank is at most a
 * window of chunks ahead of the reduced ones. Messages may be lost: each side asks again for those that it
 * misses, and repeated messages change nothing.
 *
 * @module
 */
import { alignedBytes } from "../base/aligned_memory.ts";
import { LockstepError } from "../base/errors.ts";
import { bytesIn, type FloatRange, floatsOf, shardOf } from "../base/float_range.ts";
import { FRAME_HEADER_BYTES } from "../protocol/codec.ts";
import type { Incoming, Link } from "../protocol/link.ts";
import { type Header, toWireNumber } from "../protocol/messages.ts";
import { type ChunkPlan, MAX_REQUESTED, planChunks, type WireFormat } from "./chunks.ts";
import { compareSteps } from "../base/step_key.ts";
import type { GradientExchange, StepContribution, StepResult } from "./gradient_exchange.ts";
import { narrow, widen } from "./narrow.ts";
import { noAnswer, RANK_TIMEOUT_MS, StepWait } from "./step_wait.ts";

/** Settings of one rank's exchange. */
export interface NatsExchangeOptions {
  readonly rank: number;
  readonly worldSize: number;
  /** Length of every step's vector. */
  readonly vectorBytes: number;
  /** Vectors beside that of each step. */
  readonly regions: number;
  /** The format of the gradients; float32 unless given. */
  readonly wire?: WireFormat;
  /** Milliseconds without any progress after which a step fails (210000 unless set). */
  readonly timeoutMs?: number | undefined;
}

const FLOAT_BYTES = 4;

/** A step that this rank is in. */
interface RunningStep {
  readonly contribution: StepContribution;
  /** The vector is final from this float on. */
  ready: number;
  /** The whole contribution is complete, and the rank waits for the sum. */
  isWhole: boolean;
  readonly arrived: Uint8Array; // 1 for each reduced chunk that is here
  arrivedCount: number;
  /** Reduced chunks that have arrived without a gap. */
  prefix: number;
  sent: number;
  result?: StepResult;
  readonly wait: StepWait<StepResult>;
}

/** All-reduce over NATS through the coordinator's `NatsReducer`. */
export class NatsGradientExchange implements GradientExchange {
  readonly vector: Uint8Array;
  readonly reduced: Uint8Array<ArrayBuffer>;
  readonly shard: FloatRange;
  readonly regions: readonly Uint8Array<ArrayBuffer>[];
  readonly #link: Link;
  readonly #rank: number;
  readonly #worldSize: number;
  readonly #plan: ChunkPlan;
  readonly #timeoutMs: number | undefined;
  readonly #frames: Uint8Array[] = [];
  readonly #subscriptions: { unsubscribe(): void }[] = [];
  #step: RunningStep | undefined;
  /** Chunks that may be ahead of the reduced ones; shrinks when the server or the network loses some. */
  #window: number;

  private constructor(link: Link, options: NatsExchangeOptions) {
    this.#link = link;
    this.#rank = options.rank;
    this.#worldSize = options.worldSize;
    this.#timeoutMs = options.timeoutMs;
    const { vectorBytes, worldSize, wire } = options;
    this.#plan = planChunks(vectorBytes, worldSize, link.maxPayloadBytes, wire);
    this.#window = this.#plan.window;
    this.vector = new Uint8Array(vectorBytes);
    this.reduced = alignedBytes(vectorBytes);
    this.shard = shardOf(0, 1, vectorBytes);
    this.regions = Array.from({ length: options.regions }, () => alignedBytes(vectorBytes));
  }

  /**
   * Subscribes this rank; when the promise resolves, the coordinator may begin.
   *
   * @throws {LockstepError} When the connection is gone
   */
  static async open(link: Link, options: NatsExchangeOptions): Promise<NatsGradientExchange> {
    const exchange = new NatsGradientExchange(link, options);
    const { subjects } = link;
    exchange.#subscriptions.push(
      link.subscribe(subjects.reduced, {
        reduced: (message) => exchange.#onReduced(message),
        result: (message) => exchange.#onResult(message),
      }, {
        onCorrupt: (header, error) => exchange.#onCorrupt(header, error),
      }),
      link.subscribe(subjects.missing(options.rank), {
        missing: (message) => exchange.#onMissing(message),
      }),
      link.onReconnect(() => exchange.#askAgain()),
    );
    await link.flush();
    return exchange;
  }

  offer(contribution: StepContribution, begin: number): void {
    const running = this.#step ?? this.#begin(contribution);
    running.ready = begin;
    running.wait.progress();
    this.#sendWindow(running);
  }

  async reduceScatter(contribution: StepContribution, signal?: AbortSignal): Promise<StepResult> {
    signal?.throwIfAborted();
    const running = this.#step ?? this.#begin(contribution);
    if (running.isWhole || compareSteps(contribution, running.contribution) !== 0) {
      throw new TypeError("reduceScatter() was called while a step is still running");
    }
    running.isWhole = true;
    running.ready = 0;
    running.wait.progress();
    try {
      this.#sendWindow(running);
      const result = await running.wait.result(signal);
      this.#window = Math.min(this.#plan.window, this.#window + 1);
      return { ...result, measure: this.#measure(contribution) };
    } finally {
      this.#step = undefined;
    }
  }

  #begin(contribution: StepContribution): RunningStep {
    const { bytes, chunks } = this.#plan;
    if (contribution.vector.length !== bytes) {
      throw new RangeError(
        `A vector of ${contribution.vector.length} bytes; this exchange takes ${bytes}`,
      );
    }
    const wait = new StepWait<StepResult>({
      timeoutMs: this.#timeoutMs ?? RANK_TIMEOUT_MS,
      askAgain: () => this.#askAgain(),
      silence: (seconds) => noAnswer(this.#rank, contribution, seconds),
    });
    this.#step = {
      contribution,
      ready: bytes / FLOAT_BYTES,
      isWhole: false,
      arrived: new Uint8Array(chunks.length),
      arrivedCount: 0,
      prefix: 0,
      sent: 0,
      wait,
    };
    this.#publishContribution(contribution);
    return this.#step;
  }

  /** Every rank has the whole sum, and makes the same of it. */
  async allGather(): Promise<void> {}

  /** Added up share by share, as it is where each rank has one. */
  #measure({ measure }: StepContribution): number {
    if (!measure) return 0;
    let sum = 0;
    for (let rank = 0; rank < this.#worldSize; rank++) {
      sum += measure(shardOf(rank, this.#worldSize, this.#plan.bytes));
    }
    return sum;
  }

  // deno-lint-ignore require-await -- the interface is asynchronous
  async close(): Promise<void> {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    this.#step?.wait.end();
    this.#step?.wait.fail(new LockstepError("The exchange was closed in the middle of a step"));
  }

  #publishContribution(contribution: StepContribution): void {
    const { epoch, step, samples, weight, lossSum, correct, times = null } = contribution;
    const { statisticsRows = samples, trackedBatches = 0 } = contribution;
    const { bytes, chunkBytes, dtype, narrowBytes } = this.#plan;
    this.#link.publish(this.#link.subjects.gradient(this.#rank), "contribution", {
      rank: this.#rank,
      epoch,
      step,
      samples,
      weight,
      lossSum: toWireNumber(lossSum),
      correct,
      statisticsRows,
      trackedBatches,
      times,
      bytes,
      chunkBytes,
      dtype,
      narrowBytes,
    });
  }

  /**
   * Sends the chunks that are ready and that the window allows; a rank without samples has nothing to send.
   */
  #sendWindow(running: RunningStep): void {
    const { chunks } = this.#plan;
    if (running.contribution.samples === 0) return;
    const limit = Math.min(chunks.length, running.prefix + this.#window);
    while (running.sent < limit && chunks[running.sent].begin >= running.ready) {
      this.#sendChunk(running, running.sent++);
    }
  }

  #sendChunk(running: RunningStep, chunk: number): void {
    const { epoch, step, vector } = running.contribution;
    const { begin, floats, dtype, bytes } = this.#plan.chunks[chunk];
    const frame = this.#frameFor(chunk).subarray(0, FRAME_HEADER_BYTES + bytes);
    const offset = vector.byteOffset + begin * FLOAT_BYTES;
    let tooLarge = false;
    if (dtype === "float32") {
      frame.set(new Uint8Array(vector.buffer, offset, bytes), FRAME_HEADER_BYTES);
    } else {
      const values = new Float32Array(vector.buffer, offset, floats);
      tooLarge = narrow(frame.subarray(FRAME_HEADER_BYTES), values, dtype);
    }
    const fields = { rank: this.#rank, epoch, step, chunk, tooLarge };
    this.#link.publishInPlace(
      this.#link.subjects.gradient(this.#rank),
      "gradient",
      fields,
      frame,
    );
  }

  /** The window guarantees that a frame's last message has long left when its turn comes again. */
  #frameFor(chunk: number): Uint8Array {
    const slot = chunk % this.#plan.window;
    return this.#frames[slot] ??= new Uint8Array(FRAME_HEADER_BYTES + this.#plan.chunkBytes);
  }

  #runningAt(place: { epoch: number; step: number }): RunningStep | undefined {
    const running = this.#step;
    return running && compareSteps(place, running.contribution) === 0 ? running : undefined;
  }

  #onReduced({ header, payload }: Incoming<"reduced">): void {
    const running = this.#runningAt(header);
    const { chunk } = header;
    const planned = this.#plan.chunks[chunk];
    if (!running || payload.length !== planned?.bytes || running.arrived[chunk]) return;
    const part = bytesIn(running.contribution.target ?? this.reduced, {
      begin: planned.begin,
      end: planned.begin + planned.floats,
    });
    if (planned.dtype === "float32") part.set(payload);
    else widen(floatsOf(part), payload, planned.dtype);
    running.arrived[chunk] = 1;
    running.arrivedCount++;
    while (running.arrived[running.prefix]) running.prefix++;
    running.wait.progress();
    this.#sendWindow(running);
    this.#finishIfComplete(running);
  }

  #onResult({ header }: Incoming<"result">): void {
    const running = this.#runningAt(header);
    if (!running || running.result) return;
    const { samples, weight, correct, statisticsRows, action, finite } = header;
    const lossSum = Number(header.lossSum);
    const counts = { samples, weight, lossSum, correct, statisticsRows };
    running.result = { ...counts, action, finite, measure: 0 };
    running.wait.progress();
    this.#finishIfComplete(running);
  }

  #finishIfComplete(running: RunningStep): void {
    if (!running.result || running.arrivedCount < this.#plan.chunks.length) return;
    running.wait.finish(running.result);
  }

  #onCorrupt(header: Header<"reduced" | "result">, error: Error): void {
    const running = this.#runningAt(header);
    if (!running || !("chunk" in header)) return;
    if (running.wait.damaged()) running.wait.fail(error);
    else this.#requestMissing(running, [header.chunk], false);
  }

  /** The coordinator asks again for the messages that it doesn't have. */
  #onMissing({ header }: Incoming<"missing">): void {
    const running = this.#runningAt(header);
    if (!running) return;
    if (header.totals) this.#publishContribution(running.contribution);
    const firstLost = Math.min(...header.chunks);
    if (firstLost >= running.sent) return;
    // Losses come from a reader that the server found too slow: another burst like the last would fare no better.
    this.#window = Math.max(1, Math.floor(this.#window / 2));
    running.sent = Math.max(running.prefix, firstLost);
    this.#sendWindow(running);
  }

  #askAgain(): void {
    const running = this.#step;
    if (!running) return;
    if (!running.isWhole) running.wait.progress(); // it is this rank that the others wait for
    const chunks: number[] = [];
    const end = Math.min(this.#plan.chunks.length, running.prefix + this.#plan.window);
    for (let chunk = running.prefix; chunk < end; chunk++) {
      if (!running.arrived[chunk]) chunks.push(chunk);
    }
    this.#requestMissing(running, chunks, !running.result);
  }

  #requestMissing({ contribution }: RunningStep, chunks: number[], totals: boolean): void {
    const { epoch, step } = contribution;
    this.#link.publish(this.#link.subjects.missing("coordinator"), "missing", {
      rank: this.#rank,
      epoch,
      step,
      chunks: chunks.slice(0, MAX_REQUESTED),
      totals,
    });
  }
}

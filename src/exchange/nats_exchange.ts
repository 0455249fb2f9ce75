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
import { faultPoint } from "../base/fault_point.ts";
import { itemAt } from "../base/item_at.ts";
import { bytesIn, type FloatRange, floatsOf } from "../base/float_range.ts";
import { FRAME_HEADER_BYTES } from "../protocol/codec.ts";
import type { Incoming } from "../protocol/link.ts";
import type { Header } from "../protocol/messages.ts";
import { type ChunkPlan, MAX_REQUESTED, planChunks } from "./chunks.ts";
import type { GradientExchange, StepContribution } from "./gradient_exchange.ts";
import { narrow, widen } from "./narrow.ts";
import {
  type Contributing,
  type ExchangeLink,
  type Missing,
  RankEnd,
  type RankEndOptions,
  resultOf,
  type SumResult,
  type VectorFormat,
} from "./rank_end.ts";
import { StagedExchange } from "./staged_exchange.ts";
import {
  hostVectors,
  ownBuffers,
  type RankShape,
  rankShards,
  type StepBuffers,
} from "./step_buffers.ts";

const FLOAT_BYTES = 4;

/** The chunks of a step, on their way to and fro. */
interface ChunkTransfer {
  /** The vector is final from this float on. */
  ready: number;
  readonly arrived: Uint8Array; // 1 for each reduced chunk that is here
  arrivedCount: number;
  /** Reduced chunks that have arrived without a gap. */
  prefix: number;
  sent: number;
  result?: SumResult;
}

/** Makes a rank's buffers in memory of its own, which may be a GPU's. */
export function makeBuffers(shape: RankShape): StepBuffers {
  return ownBuffers(shape);
}

/**
 * Subscribes a rank; when the promise resolves, the coordinator may begin.
 *
 * @throws {LockstepError} When the connection is gone
 */
export async function openExchange(
  link: ExchangeLink,
  options: RankEndOptions,
): Promise<GradientExchange> {
  const { buffers } = options;
  if (buffers.vector.host) return await NatsGradientExchange.open(link, options);
  const host = hostVectors(options);
  const exchange = await NatsGradientExchange.open(link, { ...options, buffers: host });
  return new StagedExchange(exchange, host, buffers);
}

/** All-reduce over NATS through the coordinator's `NatsReducer`. */
export class NatsGradientExchange extends RankEnd<ChunkTransfer> {
  protected override readonly format: VectorFormat;
  readonly #plan: ChunkPlan;
  readonly #frames: Uint8Array[] = [];
  /** The shards of all ranks: every rank has the whole sum. */
  readonly #shards: readonly FloatRange[];
  /** Chunks that may be ahead of the reduced ones; shrinks when the server or the network loses some. */
  #window: number;

  private constructor(link: ExchangeLink, options: RankEndOptions) {
    super(link, options);
    const { vectorBytes, worldSize, wire } = options;
    this.#plan = planChunks(vectorBytes, worldSize, link.maxPayloadBytes, wire);
    this.#window = this.#plan.window;
    this.#shards = rankShards(options);
    const { bytes, chunkBytes, dtype, narrowBytes } = this.#plan;
    this.format = { bytes, chunkBytes, dtype, narrowBytes };
  }

  /** As {@linkcode openExchange}. */
  static async open(link: ExchangeLink, options: RankEndOptions): Promise<NatsGradientExchange> {
    return await new NatsGradientExchange(link, options).open();
  }

  protected override listen() {
    return this.link.subscribe(this.link.subjects.reduced, {
      reduced: (message) => this.#onReduced(message),
      result: (message) => this.#onResult(message),
    }, {
      onCorrupt: (header, error) => this.#onCorrupt(header, error),
    });
  }

  protected override begin(): ChunkTransfer {
    const { bytes, chunks } = this.#plan;
    return {
      ready: bytes / FLOAT_BYTES,
      arrived: new Uint8Array(chunks.length),
      arrivedCount: 0,
      prefix: 0,
      sent: 0,
    };
  }

  offer(contribution: StepContribution, begin: number): void {
    const phase = this.contributing(contribution);
    phase.step.transfer.ready = begin;
    phase.wait.progress();
    this.#sendWindow(phase);
  }

  protected override contribute(phase: Contributing<ChunkTransfer>): void {
    phase.step.transfer.ready = 0;
    this.#sendWindow(phase);
    this.#finishIfComplete(phase);
  }

  /**
   * Sends the chunks that are ready and that the window allows; a rank without samples has nothing to send.
   */
  #sendWindow({ step: { contribution, transfer } }: Contributing<ChunkTransfer>): void {
    const { chunks } = this.#plan;
    if (contribution.samples === 0) return;
    const limit = Math.min(chunks.length, transfer.prefix + this.#window);
    while (transfer.sent < limit && itemAt(chunks, transfer.sent).begin >= transfer.ready) {
      this.#sendChunk(contribution, transfer.sent++);
      faultPoint("between-chunks");
    }
  }

  #sendChunk({ epoch, step }: StepContribution, chunk: number): void {
    const { begin, floats, dtype, bytes } = itemAt(this.#plan.chunks, chunk);
    const frame = this.#frameFor(chunk).subarray(0, FRAME_HEADER_BYTES + bytes);
    const values = bytesIn(this.vector, { begin, end: begin + floats });
    let tooLarge = false;
    if (dtype === "float32") frame.set(values, FRAME_HEADER_BYTES);
    else tooLarge = narrow(frame.subarray(FRAME_HEADER_BYTES), floatsOf(values), dtype);
    const fields = { rank: this.rank, epoch, step, chunk, tooLarge };
    this.link.publishInPlace(this.link.subjects.gradient(this.rank), "gradient", fields, frame);
  }

  /** The window guarantees that a frame's last message has long left when its turn comes again. */
  #frameFor(chunk: number): Uint8Array {
    const slot = chunk % this.#plan.window;
    return this.#frames[slot] ??= new Uint8Array(FRAME_HEADER_BYTES + this.#plan.chunkBytes);
  }

  #onReduced({ header, payload }: Incoming<"reduced">): void {
    const phase = this.contributingTo(header);
    const { chunk } = header;
    const planned = this.#plan.chunks[chunk];
    if (!phase || payload.length !== planned?.bytes) return;
    const { transfer } = phase.step;
    if (transfer.arrived[chunk]) return;
    const { begin, floats, dtype } = planned;
    const part = bytesIn(this.reduced, { begin, end: begin + floats });
    if (dtype === "float32") part.set(payload);
    else widen(floatsOf(part), payload, dtype);
    transfer.arrived[chunk] = 1;
    transfer.arrivedCount++;
    while (transfer.arrived[transfer.prefix]) transfer.prefix++;
    phase.wait.progress();
    this.#sendWindow(phase);
    this.#finishIfComplete(phase);
  }

  #onResult(message: Incoming<"result">): void {
    const phase = this.contributingTo(message.header);
    if (!phase || phase.step.transfer.result) return;
    phase.step.transfer.result = resultOf(message);
    phase.wait.progress();
    this.#finishIfComplete(phase);
  }

  #finishIfComplete(phase: Contributing<ChunkTransfer>): void {
    const { result, arrivedCount } = phase.step.transfer;
    if (!phase.isWhole || !result || arrivedCount < this.#plan.chunks.length) return;
    this.#window = Math.min(this.#plan.window, this.#window + 1);
    this.finishSum(phase, result, result.finite ? this.#shards : []);
  }

  #onCorrupt(header: Header<"reduced" | "result">, error: Error): void {
    const phase = this.contributingTo(header);
    if (!phase || !("chunk" in header)) return;
    if (phase.wait.damaged()) phase.wait.fail(error);
    else this.ask(header, { chunks: [header.chunk], totals: false });
  }

  /** The coordinator asks again for the messages that it doesn't have. */
  protected override onMissing(header: Header<"missing">): void {
    const phase = this.contributingTo(header);
    if (!phase) return;
    const { contribution, transfer } = phase.step;
    if (header.totals) this.publishContribution(contribution);
    const firstLost = Math.min(...header.chunks);
    if (firstLost >= transfer.sent) return;
    // Losses come from a reader that the server found too slow: another burst like the last would fare no better.
    this.#window = Math.max(1, Math.floor(this.#window / 2));
    transfer.sent = Math.max(transfer.prefix, firstLost);
    this.#sendWindow(phase);
  }

  protected override missing({ step }: Contributing<ChunkTransfer>): Missing {
    const { arrived, prefix, result } = step.transfer;
    const chunks: number[] = [];
    const end = Math.min(this.#plan.chunks.length, prefix + this.#plan.window);
    for (let chunk = prefix; chunk < end; chunk++) if (!arrived[chunk]) chunks.push(chunk);
    return { chunks: chunks.slice(0, MAX_REQUESTED), totals: !result };
  }
}

/**
 * The worker's end of the all-reduce in memory that all ranks of a machine share.
 *
 * A step goes: the rank's vector stands in its slot, its contribution (samples, loss) goes to the coordinator;
 * on the coordinator's `reduce` the rank adds its share of all vectors, in rank order, and says so; on
 * `result` the whole sum is there. Nobody waits on memory: every wait is for a message, and who misses one
 * asks again.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import type { Incoming, Link } from "../protocol/link.ts";
import { type Header, toWireNumber } from "../protocol/messages.ts";
import {
  compareSteps,
  type GradientExchange,
  type StepContribution,
  type StepResult,
} from "./gradient_exchange.ts";
import { type FloatRange, shardOf, viewsOf } from "./shared_layout.ts";
import { noAnswer, StepWait } from "./step_wait.ts";
import { allFinite, weightedSum } from "./weighted_sum.ts";

/** Settings of one rank's exchange. */
export interface SharedExchangeOptions {
  readonly rank: number;
  readonly worldSize: number;
  /** Length of every step's vector. */
  readonly vectorBytes: number;
  /** The mapped memory, of `segmentBytes` (see `shared_layout.ts`). */
  readonly segment: Uint8Array<ArrayBuffer>;
  /** Milliseconds without any progress after which a step fails (180000 unless set). */
  readonly timeoutMs?: number;
}

/** A step that this rank is in. */
interface RunningStep {
  readonly contribution: StepContribution;
  /** What came of this rank's share, once it is made. */
  shard?: { finite: boolean; worstRank: number | null };
  readonly wait: StepWait<StepResult>;
}

/** All-reduce in shared memory under the coordinator's `SharedReducer`. */
export class SharedGradientExchange implements GradientExchange {
  readonly vector: Uint8Array;
  readonly #link: Link;
  readonly #rank: number;
  readonly #timeoutMs: number | undefined;
  readonly #vectors: readonly Float32Array[];
  readonly #sum: Uint8Array;
  readonly #shard: FloatRange;
  readonly #subscriptions: { unsubscribe(): void }[] = [];
  #step: RunningStep | undefined;

  private constructor(link: Link, options: SharedExchangeOptions) {
    const { rank, worldSize, vectorBytes, segment, timeoutMs } = options;
    this.#link = link;
    this.#rank = rank;
    this.#timeoutMs = timeoutMs;
    const { vectors, sum } = viewsOf(segment, worldSize, vectorBytes);
    this.vector = vectors[rank];
    this.#vectors = vectors.map(floatsOf);
    this.#sum = sum;
    this.#shard = shardOf(rank, worldSize, vectorBytes);
  }

  /**
   * Subscribes this rank; when the promise resolves, the coordinator may begin.
   *
   * @throws {LockstepError} When the connection is gone
   */
  static async open(link: Link, options: SharedExchangeOptions): Promise<SharedGradientExchange> {
    const exchange = new SharedGradientExchange(link, options);
    const { subjects } = link;
    exchange.#subscriptions.push(
      link.subscribe(subjects.reduced, {
        reduce: (message) => exchange.#onReduce(message),
        result: (message) => exchange.#onResult(message),
      }),
      link.subscribe(subjects.missing(options.rank), {
        missing: (message) => exchange.#onMissing(message),
      }),
      link.onReconnect(() => exchange.#askAgain()),
    );
    await link.flush();
    return exchange;
  }

  async allReduce(contribution: StepContribution, signal?: AbortSignal): Promise<StepResult> {
    signal?.throwIfAborted();
    if (this.#step) throw new TypeError("allReduce() was called while a step is still running");
    const { vector } = contribution;
    if (vector.length !== this.vector.length) {
      throw new RangeError(
        `A vector of ${vector.length} bytes; this exchange takes ${this.vector.length}`,
      );
    }
    if (vector !== this.vector) this.vector.set(vector);
    const wait = new StepWait<StepResult>({
      timeoutMs: this.#timeoutMs,
      askAgain: () => this.#askAgain(),
      silence: (seconds) => noAnswer(this.#rank, contribution, seconds),
    });
    this.#step = { contribution, wait };
    try {
      this.#publishContribution(contribution);
      return await wait.result(signal);
    } finally {
      this.#step = undefined;
    }
  }

  // deno-lint-ignore require-await -- the interface is asynchronous
  async close(): Promise<void> {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    this.#step?.wait.fail(new LockstepError("The exchange was closed in the middle of a step"));
  }

  #publishContribution(contribution: StepContribution): void {
    const { epoch, step, samples, weight, lossSum, correct, times = null } = contribution;
    this.#link.publish(this.#link.subjects.gradient(this.#rank), "contribution", {
      rank: this.#rank,
      epoch,
      step,
      samples,
      weight,
      lossSum: toWireNumber(lossSum),
      correct,
      times,
      bytes: this.vector.length,
      chunkBytes: 0,
    });
  }

  #publishShard({ contribution, shard }: RunningStep): void {
    const { epoch, step } = contribution;
    const fields = { rank: this.#rank, epoch, step, ...shard! };
    this.#link.publish(this.#link.subjects.gradient(this.#rank), "shard", fields);
  }

  #runningAt(place: { epoch: number; step: number }): RunningStep | undefined {
    const running = this.#step;
    return running && compareSteps(place, running.contribution) === 0 ? running : undefined;
  }

  #onReduce({ header }: Incoming<"reduce">): void {
    const running = this.#runningAt(header);
    if (!running) return;
    running.wait.progress();
    running.shard ??= this.#reduceShard(header);
    this.#publishShard(running);
  }

  /** Adds this rank's share of the vectors, in rank order. */
  #reduceShard({ weights }: Header<"reduce">): { finite: boolean; worstRank: number | null } {
    const { begin, end } = this.#shard;
    const senders = [...weights.keys()].filter((rank) => weights[rank] !== null);
    const parts = senders.map((rank) => this.#vectors[rank].subarray(begin, end));
    const target = floatsOf(this.#sum).subarray(begin, end);
    const finite = weightedSum(target, parts, senders.map((rank) => weights[rank]!));
    if (finite) return { finite, worstRank: null };
    const worst = parts.findIndex((part) => !allFinite(part));
    return { finite: false, worstRank: worst < 0 ? null : senders[worst] };
  }

  #onResult({ header }: Incoming<"result">): void {
    const running = this.#runningAt(header);
    if (!running) return;
    const { samples, weight, correct, action, finite } = header;
    const lossSum = Number(header.lossSum);
    const vector = this.#sum;
    running.wait.finish({ samples, weight, correct, action, finite, lossSum, vector });
  }

  /** The coordinator asks again for what it doesn't have. */
  #onMissing({ header }: Incoming<"missing">): void {
    const running = this.#runningAt(header);
    if (!running) return;
    this.#publishContribution(running.contribution);
    if (running.shard) this.#publishShard(running);
  }

  #askAgain(): void {
    if (!this.#step) return;
    const { epoch, step } = this.#step.contribution;
    const fields = { rank: this.#rank, epoch, step, chunks: [], totals: true };
    this.#link.publish(this.#link.subjects.missing("coordinator"), "missing", fields);
  }
}

function floatsOf(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/**
 * The worker's end of the all-reduce in memory that all ranks of a machine share.
 *
 * A step: the rank's vector is in the rank's slot, and the contribution (samples, loss) goes to the
 * coordinator. On the coordinator's `reduce` the rank adds its share of all vectors, in rank order and into
 * its own slot, where nobody else reads that share (or into a region), and sends `shard`. On `result` the
 * rank may work on its share. The rank writes its results to its shard of the regions, and sends `written`.
 * When all ranks have done so, `gathered` goes to all. Nobody waits on memory: every wait is for a message,
 * and a process that misses one asks again.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { type FloatRange, floatsOf, overlap, shardOf } from "../base/float_range.ts";
import type { Incoming, Link } from "../protocol/link.ts";
import { type Header, toWireNumber } from "../protocol/messages.ts";
import { compareSteps, type StepKey } from "../base/step_key.ts";
import type { GradientExchange, StepContribution, StepResult } from "./gradient_exchange.ts";
import type { WireFormat } from "./chunks.ts";
import { type SegmentShape, viewsOf } from "./shared_layout.ts";
import { noAnswer, RANK_TIMEOUT_MS, StepWait } from "./step_wait.ts";
import { allFinite, weightedSum } from "./weighted_sum.ts";

/** Settings of one rank's exchange. */
export interface SharedExchangeOptions extends SegmentShape {
  readonly rank: number;
  /** The mapped memory, of `segmentBytes` (see `shared_layout.ts`). */
  readonly segment: Uint8Array<ArrayBuffer>;
  /** The end of the gradients in a vector; the vector's end unless given. */
  readonly wire?: Pick<WireFormat, "gradientBytes">;
  /** Milliseconds without any progress after which a step fails (210000 unless set). */
  readonly timeoutMs?: number;
}

const FLOAT_BYTES = 4;

/** A step that this rank is in. */
interface RunningStep {
  readonly contribution: StepContribution;
  /** The result of this rank's share, once it is made. */
  shard?: Pick<Header<"shard">, "finite" | "worstRank" | "measure"> | undefined;
  readonly wait: StepWait<StepResult>;
}

/** A step whose results this rank has written, and waits for the others'. */
interface GatheringStep {
  readonly place: StepKey;
  readonly wait: StepWait<void>;
}

/** All-reduce in shared memory under the coordinator's `SharedReducer`. */
export class SharedGradientExchange implements GradientExchange {
  readonly vector: Uint8Array;
  readonly reduced: Uint8Array<ArrayBuffer>;
  readonly shard: FloatRange;
  readonly regions: readonly Uint8Array<ArrayBuffer>[];
  readonly #link: Link;
  readonly #rank: number;
  readonly #timeoutMs: number | undefined;
  readonly #vectors: readonly Float32Array[];
  /** Floats of a vector that are gradients; running statistics follow. */
  readonly #gradientFloats: number;
  readonly #subscriptions: { unsubscribe(): void }[] = [];
  #step: RunningStep | undefined;
  #gathering: GatheringStep | undefined;
  /** Place of the step whose sum this rank has. */
  #last: StepKey | undefined;

  private constructor(link: Link, options: SharedExchangeOptions) {
    const { rank, worldSize, vectorBytes, segment, timeoutMs } = options;
    this.#link = link;
    this.#rank = rank;
    this.#timeoutMs = timeoutMs;
    const { vectors, regions } = viewsOf(segment, options);
    this.vector = this.reduced = vectors[rank];
    this.regions = regions;
    this.#vectors = vectors.map(floatsOf);
    this.#gradientFloats = (options.wire?.gradientBytes ?? vectorBytes) / FLOAT_BYTES;
    this.shard = shardOf(rank, worldSize, vectorBytes);
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
        gathered: (message) => exchange.#onGathered(message),
      }),
      link.subscribe(subjects.missing(options.rank), {
        missing: (message) => exchange.#onMissing(message),
      }),
      link.onReconnect(() => exchange.#askAgain()),
    );
    await link.flush();
    return exchange;
  }

  async reduceScatter(contribution: StepContribution, signal?: AbortSignal): Promise<StepResult> {
    signal?.throwIfAborted();
    if (this.#step || this.#gathering) {
      throw new TypeError("reduceScatter() was called while a step is still running");
    }
    const { vector } = contribution;
    if (vector.length !== this.vector.length) {
      throw new RangeError(
        `A vector of ${vector.length} bytes; this exchange takes ${this.vector.length}`,
      );
    }
    if (vector !== this.vector) this.vector.set(vector);
    const wait = new StepWait<StepResult>({
      timeoutMs: this.#timeoutMs ?? RANK_TIMEOUT_MS,
      askAgain: () => this.#askAgain(),
      silence: (seconds) => noAnswer(this.#rank, contribution, seconds),
    });
    this.#step = { contribution, wait };
    try {
      this.#publishContribution(contribution);
      const result = await wait.result(signal);
      const { epoch, step, target } = contribution;
      this.#last = target ? undefined : { epoch, step };
      return result;
    } finally {
      this.#step = undefined;
    }
  }

  async allGather(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const place = this.#last;
    if (!place || this.#gathering) throw new TypeError("allGather() was called without a sum");
    const wait = new StepWait<void>({
      timeoutMs: this.#timeoutMs ?? RANK_TIMEOUT_MS,
      askAgain: () => this.#askAgain(),
      silence: (seconds) => noAnswer(this.#rank, place, seconds),
    });
    this.#gathering = { place, wait };
    try {
      this.#publishWritten(place);
      await wait.result(signal);
      this.#last = undefined;
    } finally {
      this.#gathering = undefined;
    }
  }

  // deno-lint-ignore require-await -- the interface is asynchronous
  async close(): Promise<void> {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    const closed = new LockstepError("The exchange was closed in the middle of a step");
    this.#step?.wait.fail(closed);
    this.#gathering?.wait.fail(closed);
  }

  #publishContribution(contribution: StepContribution): void {
    const { epoch, step, samples, weight, lossSum, correct, times = null } = contribution;
    const { statisticsRows = samples, trackedBatches = 0 } = contribution;
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
      bytes: this.vector.length,
      chunkBytes: 0,
      dtype: "float32",
      narrowBytes: 0,
    });
  }

  #publishShard({ contribution, shard }: RunningStep): void {
    const { epoch, step } = contribution;
    const fields = { rank: this.#rank, epoch, step, ...shard! };
    this.#link.publish(this.#link.subjects.gradient(this.#rank), "shard", fields);
  }

  #publishWritten({ epoch, step }: StepKey): void {
    const fields = { rank: this.#rank, epoch, step };
    this.#link.publish(this.#link.subjects.gradient(this.#rank), "written", fields);
  }

  #runningAt(place: { epoch: number; step: number }): RunningStep | undefined {
    const running = this.#step;
    return running && compareSteps(place, running.contribution) === 0 ? running : undefined;
  }

  #onReduce({ header }: Incoming<"reduce">): void {
    const running = this.#runningAt(header);
    if (!running) return;
    running.wait.progress();
    running.shard ??= this.#reduceShard(header, running.contribution);
    this.#publishShard(running);
  }

  /** Adds this rank's share of the vectors, in rank order. */
  #reduceShard(
    { weights, statisticsWeights }: Header<"reduce">,
    { measure, target = this.reduced }: StepContribution,
  ): RunningStep["shard"] {
    const { begin, end } = this.shard;
    const border = this.#gradientFloats;
    const ranges = isSame(weights, statisticsWeights) ? [{ range: this.shard, weights }] : [
      { range: overlap(this.shard, { begin, end: border }), weights },
      { range: overlap(this.shard, { begin: border, end }), weights: statisticsWeights },
    ];
    const bad = ranges.flatMap(({ range, weights }) =>
      this.#reduceRange(range, weights, target) ?? []
    );
    if (bad.length > 0) {
      const ranks = bad.flatMap(({ rank }) => rank ?? []);
      return { finite: false, worstRank: ranks.length > 0 ? Math.min(...ranks) : null, measure: 0 };
    }
    return { finite: true, worstRank: null, measure: toWireNumber(measure?.(this.shard) ?? 0) };
  }

  /** @returns Nothing when the sum is finite, else the first rank whose own values are not, if any */
  #reduceRange(
    { begin, end }: FloatRange,
    weights: readonly (number | null)[],
    target: Uint8Array<ArrayBuffer>,
  ): { rank: number | undefined } | undefined {
    if (begin >= end) return undefined;
    const senders = [...weights.keys()].filter((rank) => weights[rank] !== null);
    const parts = senders.map((rank) => this.#vectors[rank].subarray(begin, end));
    const sum = floatsOf(target).subarray(begin, end);
    if (weightedSum(sum, parts, senders.map((rank) => weights[rank]!))) return undefined;
    const rank = senders.find((rank, index) =>
      rank === this.#rank && target === this.vector
        ? isOwnBad(sum, parts, index)
        : !allFinite(parts[index])
    );
    return { rank };
  }

  #onResult({ header }: Incoming<"result">): void {
    const running = this.#runningAt(header);
    if (!running) return;
    const { samples, weight, correct, statisticsRows, action, finite } = header;
    const lossSum = Number(header.lossSum);
    const measure = Number(header.measure);
    const counts = { samples, weight, lossSum, correct, statisticsRows };
    running.wait.finish({ ...counts, action, finite, measure });
  }

  #onGathered({ header }: Incoming<"gathered">): void {
    const gathering = this.#gathering;
    if (gathering && compareSteps(header, gathering.place) === 0) gathering.wait.finish();
  }

  /** The coordinator asks again for the messages that it doesn't have. */
  #onMissing({ header }: Incoming<"missing">): void {
    if (this.#gathering) return this.#publishWritten(this.#gathering.place);
    const running = this.#runningAt(header);
    if (!running) return;
    this.#publishContribution(running.contribution);
    if (running.shard) this.#publishShard(running);
  }

  #askAgain(): void {
    const place = this.#step?.contribution ?? this.#gathering?.place;
    if (!place) return;
    const { epoch, step } = place;
    const fields = { rank: this.#rank, epoch, step, chunks: [], totals: true };
    this.#link.publish(this.#link.subjects.missing("coordinator"), "missing", fields);
  }
}

function isSame(a: readonly (number | null)[], b: readonly (number | null)[]): boolean {
  return a.every((value, index) => value === b[index]);
}

/**
 * Tells whether this rank's part, which the sum has replaced by now, was not finite while all others were.
 */
function isOwnBad(sum: Float32Array, parts: readonly Float32Array[], own: number): boolean {
  return sum.some((value, at) =>
    !Number.isFinite(value) &&
    parts.every((part, index) => index === own || Number.isFinite(part[at]))
  );
}

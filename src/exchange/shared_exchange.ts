/**
 * The worker's end of the all-reduce in memory that all ranks of a machine share.
 *
 * A step: the rank's vector is in the rank's slot, and the contribution (samples, loss) goes to the
 * coordinator. On the coordinator's `reduce` the rank adds its share of all vectors, in rank order and into
 * its own slot, where nobody else reads that share (or into a region). It sends `shard` with the share's sum of
 * squares, and on `result` it may work on its share. The rank writes its results to its shard of the regions, and
 * sends `written`. When all ranks have done so, `gathered` goes to all. Nobody waits on memory: every wait is for a
 * message, and a process that misses one asks again.
 *
 * @module
 */
import { itemAt } from "../base/item_at.ts";
import { type FloatRange, floatsOf, overlap, shardOf } from "../base/float_range.ts";
import { compareSteps } from "../base/step_key.ts";
import type { Incoming } from "../protocol/link.ts";
import { type Header, toWireNumber } from "../protocol/messages.ts";
import {
  type ExchangeLink,
  type Missing,
  type PhaseAt,
  RankEnd,
  type RankEndOptions,
  resultOf,
  type VectorFormat,
} from "./rank_end.ts";
import { viewsOf } from "./shared_layout.ts";
import { gradientFloats, type RankShape, type StepBuffers } from "./step_buffers.ts";
import { allFinite, weightedSum } from "./weighted_sum.ts";

/** The finiteness of this rank's share of the sum; nothing until it is made. */
interface OwnShare {
  verdict?: Pick<Header<"shard">, "finite" | "worstRank">;
}

/** The lack of the message that ends a phase. */
const MESSAGE: Missing = { chunks: [], totals: true };

/**
 * Makes a rank's buffers in the memory of a run.
 *
 * @param segment The mapped memory, of `segmentBytes` (see `shared_layout.ts`)
 */
export function makeBuffers(
  shape: RankShape,
  segment: Uint8Array<ArrayBuffer> | undefined,
): StepBuffers {
  if (!segment) throw new TypeError("An exchange in shared memory without a segment");
  const { rank, worldSize, vectorBytes, sumInRegion = false } = shape;
  const { vectors, regions } = viewsOf(segment, shape);
  const vector = itemAt(vectors, rank);
  return {
    vector,
    reduced: sumInRegion ? itemAt(regions, 0) : vector,
    regions,
    shard: shardOf(rank, worldSize, vectorBytes),
    peers: vectors,
  };
}

/**
 * Subscribes a rank; when the promise resolves, the coordinator may begin.
 *
 * @throws {LockstepError} When the connection is gone
 */
export async function openExchange(
  link: ExchangeLink,
  options: RankEndOptions,
): Promise<SharedGradientExchange> {
  return await SharedGradientExchange.open(link, options);
}

/** All-reduce in shared memory under the coordinator's `SharedReducer`. */
export class SharedGradientExchange extends RankEnd<OwnShare> {
  protected override readonly format: VectorFormat;
  readonly #vectors: readonly Float32Array[];
  /** The memory in which the sum is made. */
  readonly #sum: Float32Array;
  /** True where the sum takes the place of this rank's vector. */
  readonly #isInPlace: boolean;
  /** Floats of a vector that are gradients; running statistics follow. */
  readonly #gradientFloats: number;

  private constructor(link: ExchangeLink, options: RankEndOptions) {
    super(link, options);
    const { vector, reduced, peers } = options.buffers;
    if (!peers) {
      throw new TypeError("An exchange in shared memory without the other ranks' vectors");
    }
    this.#vectors = peers.map(floatsOf);
    this.#sum = floatsOf(reduced);
    this.#isInPlace = reduced === vector;
    this.#gradientFloats = gradientFloats(options);
    this.format = { bytes: vector.length, chunkBytes: 0, dtype: "float32", narrowBytes: 0 };
  }

  /** As {@linkcode openExchange}. */
  static async open(
    link: ExchangeLink,
    options: RankEndOptions,
  ): Promise<SharedGradientExchange> {
    return await new SharedGradientExchange(link, options).open();
  }

  protected override listen() {
    return this.link.subscribe(this.link.subjects.reduced, {
      reduce: (message) => this.#onReduce(message),
      result: (message) => this.#onResult(message),
      gathered: (message) => this.#onGathered(message),
    });
  }

  protected override begin(): OwnShare {
    return {};
  }

  /** The vector is in its slot: the coordinator's `reduce` comes next. */
  protected override contribute(): void {}

  protected override sendSquares(
    { step: { contribution, transfer }, squares }: PhaseAt<OwnShare, "agreeing">,
  ): void {
    const { epoch, step } = contribution;
    const { finite, worstRank } = transfer.verdict!;
    const share = { finite, worstRank, squares: toWireNumber(squares) };
    const fields = { rank: this.rank, epoch, step, ...share };
    this.link.publish(this.link.subjects.gradient(this.rank), "shard", fields);
  }

  protected override sendWritten(
    { key: { epoch, step } }: PhaseAt<OwnShare, "gathering">,
  ): void {
    const fields = { rank: this.rank, epoch, step };
    this.link.publish(this.link.subjects.gradient(this.rank), "written", fields);
  }

  protected override missing(): Missing {
    return MESSAGE;
  }

  #onReduce({ header }: Incoming<"reduce">): void {
    const agreeing = this.phaseAt("agreeing", header);
    if (agreeing) { // it has been sent already, and got lost
      agreeing.wait.progress();
      return this.sendSquares(agreeing);
    }
    const phase = this.phaseAt("contributing", header);
    if (!phase) return;
    const bad = this.#sumShare(header);
    const ranks = bad.flatMap(({ rank }) => rank ?? []);
    const finite = bad.length === 0;
    phase.step.transfer.verdict = {
      finite,
      worstRank: ranks.length > 0 ? Math.min(...ranks) : null,
    };
    this.finishSum(phase, finite ? [this.buffers.shard] : []);
  }

  /**
   * Adds this rank's share of the vectors, in rank order.
   *
   * @returns Nothing when the sum is finite, else for each bad part the first rank whose own values are to blame
   */
  #sumShare({ weights, statisticsWeights }: Header<"reduce">): { rank: number | undefined }[] {
    const { shard } = this.buffers;
    const { begin, end } = shard;
    const border = this.#gradientFloats;
    const parts = isSame(weights, statisticsWeights) ? [{ range: shard, weights }] : [
      { range: overlap(shard, { begin, end: border }), weights },
      { range: overlap(shard, { begin: border, end }), weights: statisticsWeights },
    ];
    return parts.flatMap(({ range, weights }) => this.#sumRange(range, weights) ?? []);
  }

  /** @returns Nothing when the sum is finite, else the first rank whose own values are not, if any */
  #sumRange(
    { begin, end }: FloatRange,
    weights: readonly (number | null)[],
  ): { rank: number | undefined } | undefined {
    if (begin >= end) return undefined;
    const senders = [...weights.keys()].filter((rank) => weights[rank] !== null);
    const parts = senders.map((rank) => itemAt(this.#vectors, rank).subarray(begin, end));
    const sum = this.#sum.subarray(begin, end);
    if (weightedSum(sum, parts, senders.map((rank) => weights[rank]!))) return undefined;
    const rank = senders.find((rank, index) =>
      rank === this.rank && this.#isInPlace
        ? isOwnBad(sum, parts, index)
        : !allFinite(itemAt(parts, index))
    );
    return { rank };
  }

  #onResult(message: Incoming<"result">): void {
    const phase = this.phaseAt("agreeing", message.header);
    if (phase) this.finishStep(phase, resultOf(message));
  }

  #onGathered({ header }: Incoming<"gathered">): void {
    const { phase } = this;
    if (phase.at !== "gathering" || compareSteps(header, phase.key) !== 0) return;
    this.finishGathering(phase);
  }

  /** The coordinator asks again for the messages that it doesn't have. */
  protected override onMissing(header: Header<"missing">): void {
    if (this.phase.at === "gathering") return this.sendWritten(this.phase);
    const phase = this.phaseAt("contributing", header) ?? this.phaseAt("agreeing", header);
    if (!phase) return;
    this.publishContribution(phase.step.contribution);
    if (phase.at === "agreeing") this.sendSquares(phase);
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

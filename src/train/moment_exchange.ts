/**
 * The meeting of BatchNorm's moments over the ranks: what leaves a step's function at its points (see
 * `engine/synchronized_batch_norm.ts`), and what comes back.
 *
 * All arithmetic is in float64: sums of float32 means and squares lose no digits there, however far a mean is from 0.
 *
 * @module
 */
import type { ExchangePoint } from "../engine/binding/runtime.ts";
import { MOMENT_POINTS, type MomentPoint } from "../engine/synchronized_batch_norm.ts";
import { type MicroBatching, microBatchSizes } from "./micro_batches.ts";

/** The meeting of a rank with the others within a step. */
export interface MomentMeeting {
  readonly rank: number;
  readonly worldSize: number;
  /** As of `GradientExchange`. */
  allReduce(values: Float64Array): Promise<void>;
}

/** This rank's share of a global batch. */
export interface OwnShare {
  /** Sum of the samples' weights. */
  readonly weight: number;
  readonly rows: number;
}

/** The shares of all ranks, in parts that are computed at the same time. */
export class GlobalBatch {
  /** Sum of the samples' weights, over all ranks. */
  readonly weight: number;
  /** Rows of each part over all ranks. */
  readonly parts: readonly number[];
  readonly #meeting: MomentMeeting;
  /** Rows of each rank's parts. */
  readonly #ranks: readonly (readonly number[])[];

  private constructor(
    meeting: MomentMeeting,
    weight: number,
    ranks: readonly (readonly number[])[],
  ) {
    this.#meeting = meeting;
    this.#ranks = ranks;
    this.weight = weight;
    this.parts = addedParts(ranks);
  }

  /**
   * Learns of all ranks' shares. Every rank calls it once in a step.
   *
   * @param batching The division of every rank's share
   */
  static async meet(
    meeting: MomentMeeting,
    { weight, rows }: OwnShare,
    batching: MicroBatching,
  ): Promise<GlobalBatch> {
    const sums = new Float64Array(1 + meeting.worldSize);
    sums[0] = weight;
    sums[1 + meeting.rank] = rows;
    await meeting.allReduce(sums);
    const ranks = Array.from(sums.subarray(1), (own) => microBatchSizes(own, batching));
    return new GlobalBatch(meeting, sums[0], ranks);
  }

  get #own(): readonly number[] {
    return this.#ranks[this.#meeting.rank];
  }

  /**
   * Rows for which this rank's running statistics stand. A rank that lacks a part lacks its statistics, too: the first
   * rank that has all parts stands for its rows.
   *
   * @param counts By part: true where it counts in the statistics
   */
  statisticsRows(counts: readonly boolean[]): number {
    const counted = this.#ranks.map((sizes) => sumOf(sizes.filter((_, part) => counts[part])));
    const isWhole = this.#ranks.map(({ length }) => length === this.parts.length);
    const { rank } = this.#meeting;
    if (!isWhole[rank]) return 0;
    const others = isWhole.indexOf(true) === rank ? counted.filter((_, own) => !isWhole[own]) : [];
    return counted[rank] + sumOf(others);
  }

  /**
   * Factor by which this rank's gradients count in the sum over the ranks: its share of the rows. By weights, a rank
   * would lose its gradients whose samples have no weight themselves; others' losses depend on them by the moments.
   */
  get share(): number {
    return sumOf(this.#own) / sumOf(this.parts);
  }

  /** The weight with which this rank's gradients go into the exchange: {@linkcode GlobalBatch.share} of all weight. */
  get shareOfWeight(): number {
    if (this.#own.length === 0) return 0;
    return sumOf(this.#own) * this.weight / sumOf(this.parts);
  }

  /** The factor of this rank's sum of losses, whose gradient counts by {@linkcode GlobalBatch.share}. */
  get lossFactor(): number {
    return this.weight === 0 ? 0 : 1 / (this.share * this.weight);
  }

  /** The exchange of a part. */
  exchangeOf(part: number): MomentExchange {
    const rows = { own: this.#own[part] ?? 0, all: this.parts[part], share: this.share };
    return new MomentExchange(this.#meeting, rows);
  }
}

/** Rows of each part over all ranks, whose shares may have different numbers of parts. */
export function addedParts(ranks: readonly (readonly number[])[]): number[] {
  const count = Math.max(...ranks.map(({ length }) => length));
  return Array.from(
    { length: count },
    (_, part) => sumOf(ranks.map((sizes) => sizes[part] ?? 0)),
  );
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/** The rows of a global batch that are computed together: a part of every rank's share. */
export interface MomentRows {
  /** Rows of this rank. */
  readonly own: number;
  /** Rows of all ranks. */
  readonly all: number;
  /** Factor by which this rank's gradients count in the sum over the ranks. */
  readonly share: number;
}

/** Exchanges what one call of a step's function hands out. */
export class MomentExchange {
  readonly #meeting: Pick<MomentMeeting, "allReduce">;
  readonly #rows: MomentRows;

  constructor(meeting: Pick<MomentMeeting, "allReduce">, rows: MomentRows) {
    this.#meeting = meeting;
    this.#rows = rows;
  }

  /**
   * Exchanges a point's values.
   *
   * A rank whose own values aren't finite brings zeros and gets NaN: so its own gradients tell that they are not, and
   * the other ranks' don't.
   *
   * @param values float32, as {@linkcode MOMENT_POINTS} says
   */
  readonly exchange = async (point: ExchangePoint, values: Float32Array): Promise<Float32Array> => {
    const { own, all, share } = this.#rows;
    const { facts: { places, correction } } = point as MomentPoint;
    const isFinite = values.every(Number.isFinite);
    const isForward = point.kind === MOMENT_POINTS.moments;
    const sums = new Float64Array(point.given);
    if (isFinite) {
      if (isForward) addMoments(sums, values, own * places);
      else values.forEach((value, at) => sums[at] = value * share);
    }
    await this.#meeting.allReduce(sums);
    if (!isFinite) return new Float32Array(point.taken).fill(NaN);
    const count = all * places;
    return isForward
      ? momentsOf(sums, count, correction)
      : Float32Array.from(sums, (sum) => sum / (share * count));
  };

  /** Takes part in points, in their order, without a row: with zeros. */
  async answer(points: readonly ExchangePoint[]): Promise<void> {
    for (const { given } of points) {
      await this.#meeting.allReduce(new Float64Array(given));
    }
  }
}

/** Adds Σ x and Σ x² of `count` values per channel. */
function addMoments(sums: Float64Array, moments: Float32Array, count: number): void {
  const channels = moments.length / 2;
  for (let channel = 0; channel < channels; channel++) {
    const mean = moments[channel];
    sums[channel] = count * mean;
    sums[channels + channel] = count * (moments[channels + channel] + mean * mean);
  }
}

/** Mean, variance, and the variance for the running statistics. */
function momentsOf(sums: Float64Array, count: number, correction: number): Float32Array {
  const channels = sums.length / 2;
  const moments = new Float32Array(3 * channels);
  const unbiased = count / Math.max(count - correction, 1);
  for (let channel = 0; channel < channels; channel++) {
    const mean = sums[channel] / count;
    const variance = Math.max(0, sums[channels + channel] / count - mean * mean);
    moments[channel] = mean;
    moments[channels + channel] = variance;
    moments[2 * channels + channel] = variance * unbiased;
  }
  return moments;
}

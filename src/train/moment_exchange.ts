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
import type { GradientExchange } from "../exchange/gradient_exchange.ts";

/** The exchange's method that moments need. */
export type SmallSums = Pick<GradientExchange, "allReduce">;

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
  readonly #sums: SmallSums;
  readonly #rows: MomentRows;
  readonly #signal: AbortSignal | undefined;

  constructor(sums: SmallSums, rows: MomentRows, signal?: AbortSignal) {
    this.#sums = sums;
    this.#rows = rows;
    this.#signal = signal;
  }

  /**
   * Exchanges a point's values.
   *
   * A rank whose own values aren't finite brings zeros and gets NaN: so its own gradients tell that they are not, and
   * the other ranks' don't.
   *
   * @param values float32, as {@linkcode MOMENT_POINTS} says
   */
  async exchange(point: ExchangePoint, values: Float32Array): Promise<Float32Array> {
    const { own, all, share } = this.#rows;
    const { facts: { places, correction } } = point as MomentPoint;
    const isFinite = values.every(Number.isFinite);
    const isForward = point.kind === MOMENT_POINTS.moments;
    const sums = new Float64Array(point.given);
    if (isFinite) {
      if (isForward) addMoments(sums, values, own * places);
      else values.forEach((value, at) => sums[at] = value * share);
    }
    await this.#sums.allReduce(sums, this.#signal);
    if (!isFinite) return new Float32Array(point.taken).fill(NaN);
    const count = all * places;
    return isForward
      ? momentsOf(sums, count, correction)
      : Float32Array.from(sums, (sum) => sum / (share * count));
  }

  /** Takes part in points, in their order, without a row: with zeros. */
  async answer(points: readonly ExchangePoint[]): Promise<void> {
    for (const { given } of points) {
      await this.#sums.allReduce(new Float64Array(given), this.#signal);
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

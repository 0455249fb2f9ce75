/**
 * The spread of numbers.
 *
 * @module
 */
import { mean, median } from "../base/statistics.ts";

/** Some numbers in a few; NaN where there are none. */
export interface Spread {
  readonly mean: number;
  readonly median: number;
  /** Standard deviation of a sample (divided by n − 1); 0 of a single number. */
  readonly deviation: number;
  readonly least: number;
  readonly most: number;
}

/** The spread of those numbers that are finite. */
export function spreadOf(numbers: readonly number[]): Spread {
  const sorted = numbers.filter(Number.isFinite).toSorted((a, b) => a - b);
  const count = sorted.length;
  if (count === 0) return { mean: NaN, median: NaN, deviation: NaN, least: NaN, most: NaN };
  const middle = mean(sorted);
  const squares = sorted.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  return {
    mean: middle,
    median: median(sorted),
    deviation: count > 1 ? Math.sqrt(squares / (count - 1)) : 0,
    least: sorted[0],
    most: sorted[count - 1],
  };
}

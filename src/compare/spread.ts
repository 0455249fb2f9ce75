/**
 * How far numbers lie apart.
 *
 * @module
 */

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
  const mean = sorted.reduce((sum, value) => sum + value, 0) / count;
  const squares = sorted.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    mean,
    median: (sorted[(count - 1) >> 1] + sorted[count >> 1]) / 2,
    deviation: count > 1 ? Math.sqrt(squares / (count - 1)) : 0,
    least: sorted[0],
    most: sorted[count - 1],
  };
}

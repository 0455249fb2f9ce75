/**
 * Means and middles of measurements.
 *
 * @module
 */

/** The mean; NaN of nothing. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The median; of an even number the mean of the two in the middle; NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The value that a share of the finite values lies below; NaN of nothing. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
}

/** The items whose key lies in the middle half: without the lowest and the highest quarter. */
export function middleHalf<T>(items: readonly T[], key: (item: T) => number): T[] {
  const sorted = items.toSorted((a, b) => key(a) - key(b));
  const cut = Math.floor(sorted.length / 4);
  return sorted.slice(cut, sorted.length - cut);
}

/**
 * Middles of measurements.
 *
 * @module
 */

/** The median; of an even number the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The mean. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The items whose key lies in the middle half: without the lowest and the highest quarter. */
export function middleHalf<T>(items: readonly T[], key: (item: T) => number): T[] {
  const sorted = items.toSorted((a, b) => key(a) - key(b));
  const cut = Math.floor(sorted.length / 4);
  return sorted.slice(cut, sorted.length - cut);
}

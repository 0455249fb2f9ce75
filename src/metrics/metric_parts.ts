/**
 * Metrics of the user's own, put together from batches and workers.
 *
 * @module
 */

/** The results of a metric for some samples. */
export interface MetricPart {
  /** The values of the samples, in the order of their scoring; empty where the metric gives sums. */
  readonly values: readonly number[];
  /** The sum over the batches, where the metric gives sums. */
  readonly sum: number;
  readonly count: number;
}

/** Adds the results of the metrics for more samples to the results for the samples before. */
export function addParts(totals: MetricTotal[], parts: readonly MetricPart[]): void {
  parts.forEach(({ values, sum, count }, index) => {
    const total = totals[index] ??= { values: [], sum: 0, count: 0 };
    for (const value of values) total.values.push(value);
    total.sum += sum;
    total.count += count;
  });
}

/** A part that grows. */
export interface MetricTotal extends MetricPart {
  values: number[];
  sum: number;
  count: number;
}

/**
 * A metric over all samples. Values are added in the order of the samples, so that the sum has the same bits
 * whoever has scored them.
 *
 * @param parts Of each worker
 * @param indices Of each worker: the samples that its values are of
 */
export function meanOf(
  parts: readonly MetricPart[],
  indices: readonly (readonly number[])[],
): number {
  const values = parts.flatMap((part, rank) =>
    part.values.map((value, position) => ({ index: indices[rank][position], value }))
  ).sort((a, b) => a.index - b.index);
  const sum = values.reduce((total, { value }) => total + value, 0) +
    parts.reduce((total, part) => total + part.sum, 0);
  return sum / (values.length + parts.reduce((total, part) => total + part.count, 0));
}

/**
 * Numbers as charts take them: few, and short in the page's data.
 *
 * @module
 */

/** Rounds to six significant digits; null for NaN and infinities. */
export function chartValue(value: number): number | null {
  return Number.isFinite(value) ? Number(value.toPrecision(6)) : null;
}

/** At most `most` runs of neighbours, as even as can be: for means where there are more values than pixels. */
export function inWindows<T>(values: readonly T[], most: number): T[][] {
  const every = Math.max(1, Math.ceil(values.length / most));
  return Array.from(
    { length: Math.ceil(values.length / every) },
    (_, index) => values.slice(index * every, (index + 1) * every),
  );
}

/**
 * Weights of Pillow's antialiasing filters along one axis, as resize.wat takes them.
 *
 * @module
 */

import { type FilterName, FILTERS } from "./resize_filter.ts";

/** 32 bits less 8 for the pixel and 2 for sums that stray beyond it. */
const WEIGHT_BITS = 22;

/** For each output position along one axis, in one record: first input position, count, weights. */
export interface Axis {
  readonly records: Int32Array;
  /** Bytes of a record. */
  readonly record: number;
}

/** Random crops make many geometries; those of validation images come again and again. */
const CACHED_AXES = 256;
const cache = new Map<string, Axis>();

/**
 * The weights that make `to` positions of `from` ones.
 *
 * Each position is a weighted mean of those under the filter, which is stretched to output positions when
 * the axis shrinks and to input positions when it grows.
 */
export function axisWeights(from: number, to: number, filter: FilterName = "bilinear"): Axis {
  const key = `${filter} ${from} ${to}`;
  let axis = cache.get(key);
  if (axis === undefined) {
    axis = computeAxis(from, to, filter);
    if (cache.size >= CACHED_AXES) cache.delete(cache.keys().next().value!);
    cache.set(key, axis);
  }
  return axis;
}

function computeAxis(from: number, to: number, filter: FilterName): Axis {
  const { support: reach, weight } = FILTERS[filter];
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = reach * stretch;
  const taps = Math.ceil(support) * 2 + 1;
  const words = taps + 2;
  const records = new Int32Array(to * words);
  const weights = new Float64Array(taps);
  for (let position = 0, at = 0; position < to; position++, at += words) {
    const center = (position + 0.5) * scale;
    const begin = Math.max(Math.trunc(center - support + 0.5), 0);
    const end = Math.min(Math.trunc(center + support + 0.5), from);
    let sum = 0;
    for (let i = begin; i < end; i++) {
      // The product with 1 / stretch, rather than a quotient, decides the last bit.
      const one = weight((i - center + 0.5) * (1 / stretch));
      weights[i - begin] = one;
      sum += one;
    }
    records[at] = begin;
    records[at + 1] = end - begin;
    for (let i = 0; i < end - begin; i++) {
      const share = weights[i]! / (sum === 0 ? 1 : sum);
      records[at + 2 + i] = Math.trunc((share < 0 ? -0.5 : 0.5) + share * (1 << WEIGHT_BITS));
    }
  }
  return { records, record: words * 4 };
}

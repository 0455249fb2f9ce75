/**
 * Weights of Pillow's antialiased bilinear filter along one axis, as resize.wat takes them.
 *
 * @module
 */

/** 32 bits less 8 for the pixel and 2 for sums that stray beyond it. */
const WEIGHT_BITS = 22;

/** For each output position along one axis, in one record: first input position, count, weights. */
export interface Axis {
  readonly records: Int32Array;
  /** Bytes of a record. */
  readonly record: number;
}

/** Random crops make many geometries; those of validation pictures come again and again. */
const CACHED_AXES = 256;
const cache = new Map<number, Axis>();

/**
 * The weights that make `to` positions of `from` ones.
 *
 * Each position is a weighted mean of those under a triangle, which is as wide as an output position when
 * the axis shrinks and as an input position when it grows.
 */
export function axisWeights(from: number, to: number): Axis {
  const key = from * 0x1_0000_0000 + to;
  let axis = cache.get(key);
  if (axis === undefined) {
    axis = computeAxis(from, to);
    if (cache.size >= CACHED_AXES) cache.delete(cache.keys().next().value!);
    cache.set(key, axis);
  }
  return axis;
}

function computeAxis(from: number, to: number): Axis {
  const scale = from / to;
  const support = Math.max(scale, 1);
  const taps = Math.ceil(support) * 2 + 1;
  const words = taps + 2;
  const records = new Int32Array(to * words);
  const triangle = new Float64Array(taps);
  for (let position = 0, at = 0; position < to; position++, at += words) {
    const center = (position + 0.5) * scale;
    const begin = Math.max(Math.trunc(center - support + 0.5), 0);
    const end = Math.min(Math.trunc(center + support + 0.5), from);
    let sum = 0;
    for (let i = begin; i < end; i++) {
      // The product with 1 / support, rather than a quotient, decides the last bit.
      const height = Math.max(1 - Math.abs((i - center + 0.5) * (1 / support)), 0);
      triangle[i - begin] = height;
      sum += height;
    }
    records[at] = begin;
    records[at + 1] = end - begin;
    for (let i = 0; i < end - begin; i++) {
      records[at + 2 + i] = Math.trunc(0.5 + (triangle[i] / sum) * (1 << WEIGHT_BITS));
    }
  }
  return { records, record: words * 4 };
}

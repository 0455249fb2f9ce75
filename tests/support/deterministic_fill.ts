/**
 * Numbers that TypeScript and Python make alike, so that a network's parameters and inputs need no storing.
 *
 * `scripts/make_model_fixtures.py` holds the same generator for PyTorch; `fillCheck` in the parity fixtures ties both.
 *
 * @module
 */

/** Chris Wellons' 32-bit integer hash "lowbias32" (public domain). */
export function hash32(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** The 32-bit FNV-1a hash of a name's UTF-8 bytes. */
export function seedOf(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** Element `index` of the stream of `seed`, in [−1, 1). */
export function unit(seed: number, index: number): number {
  return (hash32((seed + index) >>> 0) / 2 ** 32 - 0.5) * 2;
}

/** `count` float32 values in [−scale, scale). */
export function deterministicValues(name: string, count: number, scale = 1): Float32Array {
  const seed = seedOf(name);
  const values = new Float32Array(count);
  for (let index = 0; index < count; index++) values[index] = scale * unit(seed, index);
  return values;
}

/**
 * A parameter's or buffer's values in PyTorch's layout, row-major, by its PyTorch name and shape:
 *
 * | kind | value |
 * | --- | --- |
 * | convolution weight | √(6 / fanIn) · u |
 * | linear weight | √(1 / fanIn) · u |
 * | BatchNorm weight | 1 + 0.1 · u |
 * | `running_var` | 1 + 0.5 · \|u\| |
 * | `num_batches_tracked` | 0 |
 * | bias, `running_mean` | 0.1 · u |
 */
export function deterministicFill(name: string, shape: readonly number[]): Float32Array {
  const seed = seedOf(name);
  const count = shape.reduce((product, size) => product * size, 1);
  const { offset, scale, absolute } = lawOf(name, shape);
  const values = new Float32Array(count);
  // A plain loop: the largest layers have 100 million elements.
  for (let index = 0; index < count; index++) {
    const u = unit(seed, index);
    values[index] = offset + scale * (absolute ? Math.abs(u) : u);
  }
  return values;
}

/** The law by which a value follows from u: `offset + scale · u`, or from |u|. */
interface Law {
  readonly offset: number;
  readonly scale: number;
  readonly absolute?: boolean;
}

function lawOf(name: string, shape: readonly number[]): Law {
  if (name.endsWith("running_var")) return { offset: 1, scale: 0.5, absolute: true };
  if (name.endsWith("num_batches_tracked")) return { offset: 0, scale: 0 };
  if (!name.endsWith("weight")) return { offset: 0, scale: 0.1 };
  if (shape.length === 1) return { offset: 1, scale: 0.1 };
  const fanIn = shape.slice(1).reduce((product, size) => product * size, 1);
  return { offset: 0, scale: Math.sqrt((shape.length === 2 ? 1 : 6) / fanIn) };
}

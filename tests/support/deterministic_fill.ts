/**
 * Numbers that TypeScript and Python make alike, so that a network's parameters and inputs need no storing.
 *
 * `scripts/make_model_fixtures.py` holds the same generator for PyTorch; `fillCheck` in the fixtures ties both.
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
  return Float32Array.from({ length: count }, (_, index) => scale * unit(seed, index));
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
  const fanIn = shape.slice(1).reduce((product, size) => product * size, 1);
  const value = valueOf(name, shape.length, fanIn);
  return Float32Array.from({ length: count }, (_, index) => value(unit(seed, index)));
}

function valueOf(name: string, rank: number, fanIn: number): (u: number) => number {
  if (name.endsWith("running_var")) return (u) => 1 + 0.5 * Math.abs(u);
  if (name.endsWith("num_batches_tracked")) return () => 0;
  if (!name.endsWith("weight")) return (u) => 0.1 * u;
  if (rank === 1) return (u) => 1 + 0.1 * u;
  const bound = Math.sqrt((rank === 2 ? 1 : 6) / fanIn);
  return (u) => bound * u;
}

/** What the fixtures keep of a tensor. */
export interface TensorSummary {
  sum: number;
  /** Square root of the sum of squares. */
  norm: number;
  /** Dot product with the values of `deterministicValues("projection", count)`: notices a permutation. */
  projection: number;
  /** Elements ⌊(2k + 1) · count / 16⌋ for k = 0 … 7. */
  values: number[];
}

/** Summarizes a tensor in PyTorch's layout, row-major, in double precision. */
export function summarize(tensor: ArrayLike<number>): TensorSummary {
  const seed = seedOf("projection");
  let sum = 0, squares = 0, projection = 0;
  for (let i = 0; i < tensor.length; i++) {
    sum += tensor[i];
    squares += tensor[i] ** 2;
    projection += tensor[i] * Math.fround(unit(seed, i));
  }
  const values = Array.from(
    { length: 8 },
    (_, k) => tensor[Math.floor((2 * k + 1) * tensor.length / 16)],
  );
  return { sum, norm: Math.sqrt(squares), projection, values };
}

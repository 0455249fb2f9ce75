/**
 * The arithmetic of the all-reduce.
 *
 * @module
 */

// 64 KiB of each vector at a time: the partial sums stay in the first-level caches.
const BLOCK = 16 * 1024;

/**
 * `target = Σ_r weights[r] · vectors[r]`, added in the order given, every product and every sum rounded to
 * float32: the result depends on nothing but the inputs. A single vector with weight 1 is copied bit by bit.
 */
export function weightedSum(
  target: Float32Array,
  vectors: readonly Float32Array[],
  weights: readonly number[],
): void {
  if (vectors.length === 0) return void target.fill(0);
  if (vectors.length === 1 && weights[0] === 1) return target.set(vectors[0]);
  for (let begin = 0; begin < target.length; begin += BLOCK) {
    const end = Math.min(begin + BLOCK, target.length);
    scaleRange(target, vectors[0], Math.fround(weights[0]), begin, end);
    for (let r = 1; r < vectors.length; r++) {
      addRange(target, vectors[r], Math.fround(weights[r]), begin, end);
    }
  }
}

function scaleRange(
  target: Float32Array,
  vector: Float32Array,
  weight: number,
  begin: number,
  end: number,
): void {
  for (let i = begin; i < end; i++) target[i] = Math.fround(weight * vector[i]);
}

function addRange(
  target: Float32Array,
  vector: Float32Array,
  weight: number,
  begin: number,
  end: number,
): void {
  for (let i = begin; i < end; i++) {
    target[i] = Math.fround(target[i] + Math.fround(weight * vector[i]));
  }
}

const EXPONENT = 0x7f800000;

/** Whether no value is NaN or infinite: whether no exponent has all its bits set. */
export function allFinite(vector: Float32Array): boolean {
  const bits = new Int32Array(vector.buffer, vector.byteOffset, vector.length);
  // Adding the exponent's lowest bit to an exponent of all ones, and to no other, sets the sign bit.
  let signs = 0;
  for (let i = 0; i < bits.length; i++) signs |= (bits[i] & EXPONENT) + 0x00800000;
  return signs >= 0;
}

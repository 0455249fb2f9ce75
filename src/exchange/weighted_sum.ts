/**
 * The arithmetic of the all-reduce, in WebAssembly SIMD (weighted_sum.wat).
 *
 * @module
 */
import { faultPoint } from "../base/fault_point.ts";
import { itemAt } from "../base/item_at.ts";
import { WEIGHTED_SUM_CODE } from "./weighted_sum_code.ts";

/** The exports of weighted_sum.wat. */
interface Passes {
  readonly memory: WebAssembly.Memory;
  scale(bytes: number, weight: number): number;
  combine(bytes: number, kept: number, weight: number): number;
}

/** Floats that are worked on at a time: sum and vector stay in the nearest caches. */
const BLOCK = 8192;
const FLOAT_BYTES = 4;
/**
 * The offset of a block of the sum in the passes' memory: not at the start of a page, where vectors like to
 * begin. Copies between two places of about the same offset in their pages take up to ten times as long on
 * many CPUs ("4K aliasing").
 */
const SUM = 1024;
/** The offset of a block of a vector, behind that of the sum. */
const SOURCE = SUM + BLOCK * FLOAT_BYTES;
/** The size of the pieces in which a block is processed, in bytes. */
const PIECE_BYTES = 32;

const code = Uint8Array.from(atob(WEIGHTED_SUM_CODE), (letter) => letter.charCodeAt(0));
const passes = new WebAssembly.Instance(new WebAssembly.Module(code))
  .exports as unknown as Passes;
const sum = new Float32Array(passes.memory.buffer, SUM, BLOCK);
const source = new Float32Array(passes.memory.buffer, SOURCE, BLOCK);

/**
 * `target = Σ_r weights[r] · vectors[r]`, added in the order given, every product and every sum rounded to
 * float32: the result depends on nothing but the inputs. A single vector with weight 1 is copied bit by bit.
 *
 * @param vectors As long as `target`, which may be one of them
 * @returns Whether no value of the sum is NaN or infinite
 */
export function weightedSum(
  target: Float32Array,
  vectors: readonly Float32Array[],
  weights: readonly number[],
): boolean {
  if (vectors.length === 0) {
    target.fill(0);
    return true;
  }
  const first = itemAt(vectors, 0), firstWeight = itemAt(weights, 0);
  // A copy is only looked through: multiplying by 1 could change the bits of a NaN.
  const isCopy = vectors.length === 1 && firstWeight === 1;
  if (isCopy && !isSame(target, first)) target.set(first);
  let bad = 0;
  for (let begin = 0; begin < target.length; begin += BLOCK) {
    const end = Math.min(begin + BLOCK, target.length);
    const bytes = load(sum, first, begin, end);
    let badHere = vectors.length === 1 ? passes.scale(bytes, firstWeight) : 0;
    for (let r = 1; r < vectors.length; r++) {
      load(source, vectors[r]!, begin, end);
      badHere = passes.combine(bytes, r === 1 ? firstWeight : 1, weights[r]!);
    }
    bad |= badHere;
    if (!isCopy) target.set(sum.subarray(0, end - begin), begin);
    faultPoint("between-chunks");
  }
  return bad === 0;
}

/** Tells whether all values are finite. */
export function allFinite(vector: Float32Array): boolean {
  for (let begin = 0; begin < vector.length; begin += BLOCK) {
    const bytes = load(sum, vector, begin, Math.min(begin + BLOCK, vector.length));
    if (passes.scale(bytes, 1)) return false;
  }
  return true;
}

/** Tells whether two views begin at the same place of the same memory. */
function isSame(a: Float32Array, b: Float32Array): boolean {
  return a.buffer === b.buffer && a.byteOffset === b.byteOffset;
}

/** Brings a block into the passes' memory, filled up with zeros; returns its bytes there. */
function load(into: Float32Array, vector: Float32Array, begin: number, end: number): number {
  into.set(vector.subarray(begin, end));
  const bytes = Math.ceil((end - begin) * FLOAT_BYTES / PIECE_BYTES) * PIECE_BYTES;
  into.fill(0, end - begin, bytes / FLOAT_BYTES);
  return bytes;
}

/**
 * Elementwise computations on float32 vectors, written once for every device: a fused loop on CPUs, TensorFlow's ops
 * on GPUs. Each operation rounds to float32, so that both give the same bits.
 *
 * @module
 */

/** The operations, on values of one element each. */
export interface ElementOps<Value> {
  add(a: Value, b: Value): Value;
  sub(a: Value, b: Value): Value;
  mul(a: Value, b: Value): Value;
  div(a: Value, b: Value): Value;
  min(a: Value, b: Value): Value;
  max(a: Value, b: Value): Value;
  sqrt(a: Value): Value;
}

/** A computation of some vectors from others of the same length, element by element. */
export interface Elementwise {
  /** Vectors that it reads. */
  readonly inputs: number;
  /** Numbers that are the same for all elements. */
  readonly numbers: number;
  /** Vectors that it writes. */
  readonly outputs: number;
  /** Writes the computation down; must be the same at each call. */
  compute<Value>(
    ops: ElementOps<Value>,
    inputs: readonly Value[],
    numbers: readonly Value[],
  ): readonly Value[];
}

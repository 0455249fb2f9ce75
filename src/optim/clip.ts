/**
 * Gradient clipping, as `torch.nn.utils.clip_grad_norm_` and `clip_grad_value_` do it.
 *
 * @module
 */

/** Limits; unless a limit is set, its quantity is not clipped. */
export interface ClipConfig {
  /** Largest 2-norm over all gradients together. */
  readonly clipGradNorm?: number | undefined;
  /** Largest magnitude of an element; applied first. */
  readonly clipGradValue?: number | undefined;
}

/** PyTorch adds it to the norm before it divides. */
export const NORM_EPSILON = 1e-6;

/**
 * Sum of the squares, in double precision.
 *
 * @param limit The largest magnitude with which a value counts
 */
export function sumOfSquares(values: Float32Array, limit?: number): number {
  let sum = 0;
  if (limit === undefined) {
    for (let index = 0; index < values.length; index++) sum += values[index] * values[index];
    return sum;
  }
  const largest = Math.fround(limit);
  for (let index = 0; index < values.length; index++) {
    const value = Math.min(Math.abs(values[index]), largest);
    sum += value * value;
  }
  return sum;
}

/** Returns the factor, at most 1, by which gradients with this sum of squares are multiplied. */
export function clipFactor(squares: number, limit: number): number {
  return Math.min(1, limit / (Math.sqrt(squares) + NORM_EPSILON));
}

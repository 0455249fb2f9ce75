/**
 * Gradient clipping, as `torch.nn.utils.clip_grad_norm_` and `clip_grad_value_` do it, in place.
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
const EPSILON = 1e-6;

/** Brings each value into [-limit, limit]. */
export function clipValues(values: Float32Array, limit: number): void {
  for (let index = 0; index < values.length; index++) {
    if (values[index] > limit) values[index] = limit;
    else if (values[index] < -limit) values[index] = -limit;
  }
}

/** Sum of the squares, in double precision. */
export function sumOfSquares(values: Float32Array): number {
  let sum = 0;
  for (let index = 0; index < values.length; index++) sum += values[index] * values[index];
  return sum;
}

/** Returns the factor, at most 1, by which gradients with this sum of squares are multiplied. */
export function clipFactor(squares: number, limit: number): number {
  return Math.min(1, limit / (Math.sqrt(squares) + EPSILON));
}

/** Multiplies each value. */
export function scaleValues(values: Float32Array, factor: number): void {
  for (let index = 0; index < values.length; index++) values[index] *= factor;
}

/**
 * Gradient clipping, as `torch.nn.utils.clip_grad_norm_` and `clip_grad_value_` do it.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";

/** Limits; what is not set is not clipped. */
export interface ClipConfig {
  /** Largest 2-norm over all gradients together. */
  readonly clipGradNorm?: number;
  /** Largest magnitude of an element; applied first. */
  readonly clipGradValue?: number;
}

/** PyTorch adds it to the norm before it divides. */
const EPSILON = 1e-6;

/** The gradients within their limits. */
export function clipGradients(
  gradients: readonly tf.Tensor[],
  { clipGradNorm, clipGradValue }: ClipConfig,
): tf.Tensor[] {
  const limited = clipGradValue === undefined
    ? [...gradients]
    : gradients.map((gradient) => tf.clipByValue(gradient, -clipGradValue, clipGradValue));
  if (clipGradNorm === undefined) return limited;
  const squares = limited.map((gradient) => tf.sum(tf.square(gradient)));
  const norm = tf.sqrt(tf.addN(squares));
  const scale = tf.minimum(tf.div(clipGradNorm, tf.add(norm, EPSILON)), 1);
  return limited.map((gradient) => tf.mul(gradient, scale));
}

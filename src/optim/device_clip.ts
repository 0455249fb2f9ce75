/**
 * The clipping of the gradients' norm on a device that keeps them: the factor never leaves it.
 *
 * @module
 */
import type { FloatRange } from "../base/float_range.ts";
import { CapturedFunction } from "../engine/capture/capture.ts";
import type { DeviceMemory } from "../engine/device_memory.ts";
import { tf } from "../engine/tf.ts";
import { type ClipConfig, NORM_EPSILON } from "./clip.ts";

/** Computes the factor of `clipGradNorm`, in float32. */
export class DeviceClip implements Disposable {
  readonly #fn: CapturedFunction;

  constructor({ clipGradNorm, clipGradValue }: ClipConfig & { readonly clipGradNorm: number }) {
    this.#fn = new CapturedFunction("clip_factor", (scaled, inverse) => {
      const gradients = tf.mul(scaled, inverse);
      const clipped = clipGradValue === undefined
        ? gradients
        : tf.clipByValue(gradients, -clipGradValue, clipGradValue);
      const norm = tf.sqrt(tf.sum(tf.square(clipped)));
      return [tf.reshape(tf.minimum(1, tf.div(clipGradNorm, tf.add(norm, NORM_EPSILON))), [1])];
    }, { variables: () => [], capture: true, random: false });
  }

  /**
   * Returns the factor, float32 [1], of the gradients of all parameters; the caller disposes of it.
   *
   * @param scale Factor of the loss whose gradients these are
   */
  async factor(
    gradients: DeviceMemory,
    { begin, end }: FloatRange,
    scale: number,
  ): Promise<tf.Tensor> {
    const inputs = [gradients.view([end - begin], begin), tf.scalar(1 / scale)];
    try {
      const [factor] = await this.#fn.call(inputs);
      return factor;
    } finally {
      tf.dispose(inputs);
    }
  }

  /** Releases the traced function. */
  [Symbol.dispose](): void {
    this.#fn.dispose();
  }
}

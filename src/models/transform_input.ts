/**
 * The layer that turns images normalized for ImageNet into the range of Inception's weights.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";

/** Channels' means and standard deviations that images come normalized by: ImageNet's. */
const MEAN = [0.485, 0.456, 0.406];
const STD = [0.229, 0.224, 0.225];
/** The mean and standard deviation that the weights were made for, in all channels. */
const OWN = 0.5;

/** Images [n, h, w, 3] normalized for ImageNet → the same ones from -1 to 1. */
export class TransformInput extends tf.layers.Layer {
  static readonly className = "TransformInput";

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const x = Array.isArray(inputs) ? inputs[0] : inputs;
    return tf.tidy(() => {
      const scale = tf.tensor1d(STD.map((std) => std / OWN));
      const shift = tf.tensor1d(MEAN.map((mean) => (mean - OWN) / OWN));
      return tf.add(tf.mul(x, scale), shift);
    });
  }

  override computeOutputShape(inputShape: tf.Shape): tf.Shape {
    return inputShape;
  }
}

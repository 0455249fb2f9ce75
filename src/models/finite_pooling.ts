/**
 * Max pooling that passes on values that are not finite.
 *
 * TensorFlow's `MaxPool` drops NaN: a window of NaN and 1 gives 1. A network that has overflowed before such a layer
 * would end with finite logits. In evaluation, a sample whose input to a max pooling isn't finite therefore gets NaN in
 * all of its output; PyTorch's `max_pool2d` passes NaN on in its window. In training the gradients tell.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";

/** The options of a layer's call. */
interface CallOptions {
  readonly training?: boolean;
}

/** A layer's own work. */
type Call = (this: unknown, inputs: tf.Tensor | tf.Tensor[], options: CallOptions) => tf.Tensor;

let passesOn = true;

/**
 * Gives each sample NaN whose input has a value that isn't finite.
 *
 * @param input [n, h, w, c], float32
 * @param pooled [n, h', w', c], float32
 * @param training Whether the network trains: then nothing is done
 * @returns [n, h', w', c], float32
 */
export function passOnNonFinite<T extends tf.Tensor>(
  input: tf.Tensor,
  pooled: T,
  training: boolean | undefined,
): T {
  if (training || !passesOn) return pooled;
  const { shape } = pooled;
  const mark = tf.customGrad((values) => {
    const axes = input.shape.slice(1).map((_, at) => at + 1);
    const isFinite = tf.broadcastTo(tf.isFinite(tf.mean(input, axes, true)), shape);
    const value = tf.where(isFinite, values as tf.Tensor, tf.fill(shape, NaN));
    return { value, gradFunc: (dy: tf.Tensor) => dy }; // Grad-CAM looks through
  });
  return tf.tidy(() => mark(pooled)) as T;
}

/** Runs `action`, synchronously, with poolings as TensorFlow has them: for graphs that leave this program. */
export function withPlainPooling<T>(action: () => T): T {
  passesOn = false;
  try {
    return action();
  } finally {
    passesOn = true;
  }
}

/** Mends the stock layer, in networks of this program and of its users. */
function mendStockLayer(): void {
  const prototype = Object.getPrototypeOf(tf.layers.maxPooling2d({ poolSize: 2 })) as {
    call: Call;
  };
  const call = prototype.call;
  prototype.call = function (inputs, options) {
    const input = Array.isArray(inputs) ? inputs[0] : inputs;
    return tf.tidy(() =>
      passOnNonFinite(input, call.call(this, inputs, options), options?.training)
    );
  };
}

mendStockLayer();

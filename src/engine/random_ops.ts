/**
 * Random tensors that are functions of a seed, drawn by TensorFlow (Philox counters: the same everywhere).
 *
 * @module
 */
import { DATA_TYPES, typeAttribute } from "./binding/attributes.ts";
import { nativeBackend } from "./backend.ts";
import { tf } from "./tf.ts";

const ATTRIBUTES = [
  typeAttribute("dtype", DATA_TYPES.TF_FLOAT),
  typeAttribute("T", DATA_TYPES.TF_INT32),
  typeAttribute("Tseed", DATA_TYPES.TF_INT32),
];

/** Normally distributed float32 values with mean 0 and the given standard deviation. */
export function seededNormal(shape: number[], std: number, seed: number): tf.Tensor {
  return tf.tidy(() =>
    tf.mul(drawStateless("StatelessRandomNormal", shape, seedTensor(seed)), std)
  );
}

/** Uniformly distributed float32 values in [-bound, bound). */
export function seededUniform(shape: number[], bound: number, seed: number): tf.Tensor {
  return tf.tidy(() =>
    tf.sub(
      tf.mul(drawStateless("StatelessRandomUniform", shape, seedTensor(seed)), 2 * bound),
      bound,
    )
  );
}

/**
 * Runs one of TensorFlow's stateless random ops.
 *
 * @param seed int32 [2]
 * @returns float32
 */
export function drawStateless(
  op: "StatelessRandomNormal" | "StatelessRandomUniform",
  shape: number[],
  seed: tf.Tensor,
): tf.Tensor {
  return nativeBackend().executeSingleOutput(op, ATTRIBUTES, [tf.tensor1d(shape, "int32"), seed]);
}

function seedTensor(seed: number): tf.Tensor {
  return tf.tensor1d([seed | 0, 0], "int32");
}

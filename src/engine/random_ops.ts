/**
 * Random tensors that are functions of a seed, drawn by TensorFlow (Philox counters: the same everywhere).
 *
 * @module
 */
import { type Attribute, ATTRIBUTE_TYPES, DATA_TYPES } from "./attributes.ts";
import { nativeBackend } from "./backend.ts";
import { tf } from "./tf.ts";

const type = (name: string, value: number): Attribute => ({
  name,
  type: ATTRIBUTE_TYPES.TF_ATTR_TYPE,
  value,
});

const ATTRIBUTES = [
  type("dtype", DATA_TYPES.TF_FLOAT),
  type("T", DATA_TYPES.TF_INT32),
  type("Tseed", DATA_TYPES.TF_INT32),
];

/** Normally distributed float32 values with mean 0 and the given standard deviation. */
export function seededNormal(shape: number[], std: number, seed: number): tf.Tensor {
  return tf.tidy(() => tf.mul(draw("StatelessRandomNormal", shape, seed), std));
}

/** Uniformly distributed float32 values in [-bound, bound). */
export function seededUniform(shape: number[], bound: number, seed: number): tf.Tensor {
  return tf.tidy(() =>
    tf.sub(tf.mul(draw("StatelessRandomUniform", shape, seed), 2 * bound), bound)
  );
}

function draw(op: string, shape: number[], seed: number): tf.Tensor {
  const inputs = [tf.tensor1d(shape, "int32"), tf.tensor1d([seed | 0, 0], "int32")];
  return nativeBackend().executeSingleOutput(op, ATTRIBUTES, inputs);
}

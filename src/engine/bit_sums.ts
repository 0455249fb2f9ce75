/**
 * Sums of the bits of float32 tensors, on the device that computes: tensors whose sums are equal hold the same bits, up
 * to chance, and any one bit that is changed changes the sum.
 *
 * @module
 */
import {
  type Attribute,
  ATTRIBUTE_TYPES,
  DATA_TYPES,
  typeAttribute,
} from "./binding/attributes.ts";
import { nativeBackend } from "./backend.ts";
import { tf } from "./tf.ts";

const { TF_FLOAT, TF_INT32, TF_INT64 } = DATA_TYPES;

/** Floats that are taken as one word of 64 bits. */
const WORD = 2;

const bitcast = (from: number, to: number): Attribute[] => [
  typeAttribute("T", from),
  typeAttribute("type", to),
];

const SUM: readonly Attribute[] = [
  typeAttribute("T", TF_INT64),
  typeAttribute("Tidx", TF_INT32),
  { name: "keep_dims", type: ATTRIBUTE_TYPES.TF_ATTR_BOOL, value: false },
];

/**
 * Returns the sum modulo 2⁶⁴ of a tensor's elements as words of 64 bits, as the bits of float32 [2]. Sums of whole
 * numbers are the same in any order, so on any device.
 */
export function bitSum(values: tf.Tensor): tf.Tensor {
  const backend = nativeBackend();
  const { runtime } = backend;
  return tf.tidy(() => {
    const flat = tf.reshape(values, [values.size]);
    const even = values.size % WORD === 0 ? flat : tf.concat([flat, tf.zeros([1])]);
    const words = tf.reshape(even, [even.size / WORD, WORD]);
    const [input, axis] = backend.getInputTensorIds([words, tf.tensor1d([0], "int32")]);
    // tfjs has no tensors of int64: these go from op to op by their ids.
    const [bits] = runtime.execute("Bitcast", bitcast(TF_FLOAT, TF_INT64), [input!]);
    const [sum] = runtime.execute("Sum", SUM, [bits!.id, axis!]);
    const [halves] = runtime.execute("Bitcast", bitcast(TF_INT64, TF_FLOAT), [sum!.id]);
    for (const { id } of [bits!, sum!]) runtime.deleteTensor(id);
    return backend.createOutputTensor(halves!);
  });
}

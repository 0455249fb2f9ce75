/**
 * Ops that write into the memory that a tensor looks at.
 *
 * TensorFlow's `InplaceUpdate` and `InplaceAdd` write into their first input and return it. They do so whatever owns
 * the memory, on CPUs and GPUs. The order of such ops and of those that read the memory is up to the caller.
 *
 * @module
 */
import { DATA_TYPES, typeAttribute } from "./binding/attributes.ts";
import { nativeBackend } from "./backend.ts";
import { tf } from "./tf.ts";

const FLOAT_TYPE = typeAttribute("T", DATA_TYPES.TF_FLOAT);

/** The index that the ops take, int32 [1]: one for all ops of a captured function, as a GPU gets a copy of each. */
export function firstRow(): tf.Tensor {
  return tf.tensor1d([0], "int32");
}

/**
 * Writes values into the memory of a view.
 *
 * @param target float32 [1, n], a view of device memory
 * @param value float32 of n elements
 * @param row A {@linkcode firstRow}, unless the op is the only one
 * @returns The target, which a captured function must return, or the op is left out
 */
export function putInto(target: tf.Tensor, value: tf.Tensor, row?: tf.Tensor): tf.Tensor {
  return inPlace("InplaceUpdate", target, value, row);
}

/** Adds values to those in the memory of a view; otherwise as {@linkcode putInto}. */
export function addInto(target: tf.Tensor, value: tf.Tensor, row?: tf.Tensor): tf.Tensor {
  return inPlace("InplaceAdd", target, value, row);
}

function inPlace(op: string, target: tf.Tensor, value: tf.Tensor, row?: tf.Tensor): tf.Tensor {
  return tf.tidy(() =>
    nativeBackend().executeSingleOutput(op, [FLOAT_TYPE], [
      target,
      row ?? firstRow(),
      tf.reshape(value, target.shape),
    ])
  );
}

/**
 * Native gradients in place of the ones that tfjs composes of several ops.
 *
 * @module
 */
import { DATA_TYPES, typeAttribute } from "./binding/attributes.ts";
import { nativeBackend } from "./backend.ts";
import { tf } from "./tf.ts";

/** The attribute `T` of a float32 op. */
export const FLOAT_TYPE = typeAttribute("T", DATA_TYPES.TF_FLOAT);

/** Swaps the gradients of the kernels for which TensorFlow has an op of its own. */
export function registerNativeGradients(): void {
  for (const [kernelName, gradientOp] of [["Relu", "ReluGrad"], ["Relu6", "Relu6Grad"]] as const) {
    tf.unregisterGradient(kernelName);
    tf.registerGradient({
      kernelName,
      // Both ops take the layer's output as well as its input, and it is the one that lives on anyway.
      outputsToSave: [true],
      gradFunc: (dy, [y]) => ({
        x: () =>
          nativeBackend().executeSingleOutput(gradientOp, [FLOAT_TYPE], [dy as tf.Tensor, y]),
      }),
    });
  }
}

/**
 * tfjs's backend, once the engine is open.
 *
 * @module
 */
import type { Attribute } from "./binding/attributes.ts";
import type { Runtime, TensorId, TensorMetadata } from "./binding/runtime.ts";
import { EngineError } from "./binding/status.ts";
import { tf } from "./tf.ts";

/** Name by which tfjs knows the backend: the one that the package's kernels are registered for. */
export const BACKEND = "tensorflow";

/** tfjs's backend, as far as the engine uses it. */
export interface NativeBackend {
  readonly runtime: Runtime;
  executeSingleOutput(
    name: string,
    attributes: readonly Attribute[],
    inputs: tf.Tensor[],
  ): tf.Tensor;
  executeMultipleOutputs(
    name: string,
    attributes: readonly Attribute[],
    inputs: tf.Tensor[],
    outputs: number,
  ): tf.Tensor[];
  /** Ids of the native tensors; values that were not handed over yet are. */
  getInputTensorIds(tensors: readonly tf.Tensor[]): TensorId[];
  createOutputTensor(metadata: TensorMetadata): tf.Tensor;
}

/**
 * The backend of the open engine.
 *
 * @throws {EngineError} when the engine isn't open
 */
export function nativeBackend(): NativeBackend {
  if (tf.getBackend() !== BACKEND) {
    throw new EngineError(
      "FAILED_PRECONDITION",
      "engine",
      "The engine is not open: call openEngine()",
    );
  }
  return tf.backend() as unknown as NativeBackend;
}

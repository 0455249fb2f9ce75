/**
 * The settings of TensorFlow and of CUDA's libraries that decide on the bits of results. They are read once per process,
 * from environment variables, when the libraries are opened.
 *
 * @module
 */
import { isHalf, type Precision } from "./precision.ts";

/** Settings of a process that decide on the bits of its results. */
export interface Numerics {
  /** `float32` unless given. */
  readonly precision?: Precision | undefined;
  /** Take only kernels that give the same bits in each run. */
  readonly deterministic?: boolean | undefined;
}

/** Variables for native code, and whether a value that the user has set goes before. */
export interface NumericVariables {
  /** They replace what the user has set: without them, the config would not hold. */
  readonly required: Readonly<Record<string, string>>;
  /** The user's values go before. */
  readonly preferred: Readonly<Record<string, string>>;
}

/**
 * With this variable, cuBLAS and cuDNN multiply float32 as float32 whatever a program asks for; without, TensorFlow asks
 * for TF32 on recent GPUs.
 */
const FLOAT32_ONLY = { NVIDIA_TF32_OVERRIDE: "0" };

/**
 * Ops refuse to run where TensorFlow has no deterministic kernel, cuDNN's algorithms are the deterministic ones, and none
 * is chosen by timing it.
 */
const DETERMINISTIC = {
  TF_DETERMINISTIC_OPS: "1",
  TF_CUDNN_DETERMINISTIC: "1",
  TF_CUDNN_USE_AUTOTUNE: "0",
  TF_MATMUL_AUTOTUNE_ENABLE: "0",
};

/**
 * cuDNN's BatchNorm of 16-bit activations as they lie in memory, [n, h, w, c]; without, TensorFlow transposes them
 * before and after each layer.
 */
const PERSISTENT_BATCH_NORM = { TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT: "1" };

/**
 * Returns the variables to set before the libraries are opened.
 *
 * @param opensGpu False where only the CPU is opened: a coordinator's variables are also those of its workers
 */
export function numericVariables(
  { precision = "float32", deterministic = false }: Numerics,
  opensGpu: boolean,
): NumericVariables {
  return {
    required: {
      ...(precision === "tf32" || !opensGpu ? {} : FLOAT32_ONLY),
      ...(deterministic ? DETERMINISTIC : {}),
    },
    preferred: isHalf(precision) ? PERSISTENT_BATCH_NORM : {},
  };
}

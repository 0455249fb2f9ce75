/**
 * The libraries of CUDA that TensorFlow's CUDA build opens, as NVIDIA's wheels lay them out.
 *
 * @module
 */

/** A wheel's folder below `nvidia/`, and the files of it that are needed. */
export interface CudaPackage {
  /** Such as `cublas`. */
  readonly folder: string;
  /** Paths in the folder. */
  readonly files: readonly string[];
  /** Those of {@linkcode files} that are opened before TensorFlow, in their order. */
  readonly opened: readonly string[];
}

/** The packages in the order in which their libraries are opened: each after those that it needs. */
export const CUDA_PACKAGES: readonly CudaPackage[] = [
  opened("cuda_runtime", "libcudart.so.12"),
  opened("nvjitlink", "libnvJitLink.so.12"),
  opened("cublas", "libcublasLt.so.12", "libcublas.so.12"),
  opened("cufft", "libcufft.so.11"),
  opened("cusparse", "libcusparse.so.12"),
  opened("cusolver", "libcusolver.so.11"),
  {
    folder: "cuda_nvrtc", // cuDNN compiles kernels with it
    files: ["lib/libnvrtc.so.12", "lib/libnvrtc-builtins.so.12.*"],
    opened: ["lib/libnvrtc.so.12"],
  },
  {
    folder: "cudnn",
    files: [
      "lib/libcudnn.so.9",
      "lib/libcudnn_adv.so.9",
      "lib/libcudnn_cnn.so.9",
      "lib/libcudnn_engines_precompiled.so.9",
      "lib/libcudnn_engines_runtime_compiled.so.9",
      "lib/libcudnn_graph.so.9",
      "lib/libcudnn_heuristic.so.9",
      "lib/libcudnn_ops.so.9",
    ],
    opened: ["lib/libcudnn.so.9"],
  },
  {
    folder: "cuda_nvcc", // XLA's assembler and its device functions
    files: ["bin/ptxas", "nvvm/libdevice/libdevice.10.bc"],
    opened: [],
  },
];

function opened(folder: string, ...names: string[]): CudaPackage {
  const files = names.map((name) => `lib/${name}`);
  return { folder, files, opened: files };
}

/**
 * The libraries that TensorFlow's CUDA build opens, as NVIDIA's wheels lay them out: agreed on by the engine, which
 * opens them, and provision, which fetches them.
 *
 * @module
 */

/** A library of CUDA. */
export interface CudaLibrary {
  /** Folder of its wheel below `nvidia/`. */
  readonly folder: string;
  /** File in the wheel's `lib/`, and name by which others need it. */
  readonly name: string;
}

/** In the order in which they are opened: each after those that it needs. */
export const CUDA_LIBRARIES: readonly CudaLibrary[] = [
  { folder: "cuda_runtime", name: "libcudart.so.12" },
  { folder: "nvjitlink", name: "libnvJitLink.so.12" },
  { folder: "cublas", name: "libcublasLt.so.12" },
  { folder: "cublas", name: "libcublas.so.12" },
  { folder: "cufft", name: "libcufft.so.11" },
  { folder: "cusparse", name: "libcusparse.so.12" },
  { folder: "cusolver", name: "libcusolver.so.11" },
  { folder: "cuda_nvrtc", name: "libnvrtc.so.12" },
  { folder: "cudnn", name: "libcudnn.so.9" },
];

/** Folder of the wheel with XLA's assembler and device functions, below `nvidia/`. */
export const CUDA_COMPILER_FOLDER = "cuda_nvcc";

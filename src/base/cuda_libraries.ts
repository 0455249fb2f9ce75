/**
 * The libraries that TensorFlow's CUDA build opens, with their paths in NVIDIA's wheels. The engine opens the
 * libraries, and provision downloads them.
 *
 * @module
 */

/** A CUDA library. */
export interface CudaLibrary {
  /** Folder of its wheel below `nvidia/`. */
  readonly folder: string;
  /** File in the wheel's `lib/`, and name by which other libraries load it. */
  readonly name: string;
}

/** In the order of opening: each library after its dependencies. */
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

/** NCCL, which sums over the GPUs of several processes. TensorFlow doesn't need it: it is opened when it is used. */
export const NCCL_LIBRARY: CudaLibrary = { folder: "nccl", name: "libnccl.so.2" };

/** Folder of the wheel with XLA's assembler and device functions, below `nvidia/`. */
export const CUDA_COMPILER_FOLDER = "cuda_nvcc";

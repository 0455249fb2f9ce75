/**
 * The wheels of TensorFlow's CUDA build: pinned, and only the files that training opens.
 *
 * Two releases of CUDA's libraries: those of 12.5, with which TensorFlow was built, have machine code up to compute
 * capability 9.0; those of 12.9 have it for Blackwell. cuDNN 9.10 has kernels from Pascal to Blackwell.
 *
 * @module
 */
import type { LibtensorflowBuild } from "../base/libtensorflow_path.ts";
import { CUDA_COMPILER_FOLDER } from "../base/cuda_libraries.ts";
import { LIBTENSORFLOW_VERSION } from "../base/versions.ts";
import type { Wheel } from "./wheel.ts";

/** A wheel of the CUDA build. */
export interface CudaWheel extends Wheel {
  readonly sha256: string;
  readonly bytes: number;
  /** Folder that it makes, relative to the build's. */
  readonly folder: string;
  /** Files in that folder that are unpacked. */
  readonly files: readonly string[];
  /** Bytes of these files. */
  readonly unpackedBytes: number;
}

/** A build for GPUs. */
export type CudaBuild = Exclude<LibtensorflowBuild, "cpu">;

const MANYLINUX_2014 = "manylinux2014_x86_64";
const MANYLINUX_2_27 = "manylinux_2_27_x86_64";
const MANYLINUX_2010 = "manylinux2010_x86_64";

const TENSORFLOW: CudaWheel = {
  name: "tensorflow",
  version: LIBTENSORFLOW_VERSION,
  platform: MANYLINUX_2_27,
  sha256: "b3b95643c4e70eb925839938fb35cbe142f317ec84af6844ee61513713bb13c0",
  bytes: 572_611_111,
  folder: "tensorflow",
  files: ["libtensorflow_framework.so.2", "libtensorflow_cc.so.2"],
  unpackedBytes: 1_259_021_080,
};

const CUDNN: CudaWheel = {
  name: "nvidia-cudnn-cu12",
  version: "9.10.2.21",
  platform: MANYLINUX_2_27,
  sha256: "949452be657fa16687d0930933f032835951ef0892b37d2d53824d1a84dc97a8",
  bytes: 706_758_467,
  folder: "nvidia/cudnn",
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
  unpackedBytes: 1_053_232_960,
};

/** Of one release for all builds: it has machine code from Pascal to Blackwell, and brings its own CUDA runtime. */
const NCCL: CudaWheel = {
  name: "nvidia-nccl-cu12",
  version: "2.27.7",
  platform: MANYLINUX_2014,
  sha256: "de5ba5562f08029a19cb1cd659404b18411ed0d6c90ac5f52f30bf99ad5809aa",
  bytes: 322_546_339,
  folder: "nvidia/nccl",
  files: ["lib/libnccl.so.2"],
  unpackedBytes: 430_126_192,
};

/** Of one release for all builds: ptxas before 12.6.3 compiles some code wrongly, and TensorFlow warns of it. */
const NVCC: CudaWheel = {
  name: "nvidia-cuda-nvcc-cu12",
  version: "12.9.86",
  platform: MANYLINUX_2010,
  sha256: "5d6a0d32fdc7ea39917c20065614ae93add6f577d840233237ff08e9a38f58f0",
  bytes: 40_546_229,
  folder: `nvidia/${CUDA_COMPILER_FOLDER}`,
  files: ["bin/ptxas", "nvvm/libdevice/libdevice.10.bc"],
  unpackedBytes: 35_417_224,
};

/** The wheels of each build, the largest last: what is wrong with pip or its index shows early. */
export const CUDA_WHEELS: Readonly<Record<CudaBuild, readonly CudaWheel[]>> = {
  "cuda-12.5": [
    {
      name: "nvidia-cuda-runtime-cu12",
      version: "12.5.82",
      platform: MANYLINUX_2014,
      sha256: "3e79a060e126df40fd3a068f3f787eb000fa51b251ec6cd97d09579632687115",
      bytes: 895_707,
      folder: "nvidia/cuda_runtime",
      files: ["lib/libcudart.so.12"],
      unpackedBytes: 712_032,
    },
    {
      name: "nvidia-nvjitlink-cu12",
      version: "12.5.82",
      platform: MANYLINUX_2014,
      sha256: "f9b37bc5c8cf7509665cb6ada5aaa0ce65618f2332b7d3e78e9790511f111212",
      bytes: 21_298_879,
      folder: "nvidia/nvjitlink",
      files: ["lib/libnvJitLink.so.12"],
      unpackedBytes: 54_560_656,
    },
    NVCC,
    {
      name: "nvidia-cuda-nvrtc-cu12",
      version: "12.5.82",
      platform: MANYLINUX_2014,
      sha256: "3dbd97b0104b4bfbc3c4f8c79cd2496307c89c43c29a9f83125f1d76296ff3fd",
      bytes: 24_873_108,
      folder: "nvidia/cuda_nvrtc",
      files: ["lib/libnvrtc.so.12", "lib/libnvrtc-builtins.so.12.5"],
      unpackedBytes: 68_243_664,
    },
    {
      name: "nvidia-cusolver-cu12",
      version: "11.6.3.83",
      platform: MANYLINUX_2014,
      sha256: "93cfafacde4428b71778eeb092ec615a02a3d05404da1bcf91c53e3fa1bce42b",
      bytes: 130_341_232,
      folder: "nvidia/cusolver",
      files: ["lib/libcusolver.so.11"],
      unpackedBytes: 127_953_480,
    },
    {
      name: "nvidia-cufft-cu12",
      version: "11.2.3.61",
      platform: MANYLINUX_2014,
      sha256: "9a6e8df162585750f61983a638104a48c756aa13f9f48e19ab079b38e3c828b8",
      bytes: 192_524_114,
      folder: "nvidia/cufft",
      files: ["lib/libcufft.so.11"],
      unpackedBytes: 276_827_776,
    },
    {
      name: "nvidia-cusparse-cu12",
      version: "12.5.1.3",
      platform: MANYLINUX_2014,
      sha256: "016df8e993c437e8301e62739f01775cba988fd5253cd4c64173f8e8d2f8e752",
      bytes: 217_558_979,
      folder: "nvidia/cusparse",
      files: ["lib/libcusparse.so.12"],
      unpackedBytes: 295_715_544,
    },
    NCCL,
    {
      name: "nvidia-cublas-cu12",
      version: "12.5.3.2",
      platform: MANYLINUX_2014,
      sha256: "ca070ad70e9fa6654084575d01bd001f30cc4665e33d4bb9fc8e0f321caa034b",
      bytes: 363_313_169,
      folder: "nvidia/cublas",
      files: ["lib/libcublasLt.so.12", "lib/libcublas.so.12"],
      unpackedBytes: 550_949_008,
    },
    TENSORFLOW,
    CUDNN,
  ],
  "cuda-12.9": [
    {
      name: "nvidia-cuda-runtime-cu12",
      version: "12.9.79",
      platform: MANYLINUX_2014,
      sha256: "25bba2dfb01d48a9b59ca474a1ac43c6ebf7011f1b0b8cc44f54eb6ac48a96c3",
      bytes: 3_493_179,
      folder: "nvidia/cuda_runtime",
      files: ["lib/libcudart.so.12"],
      unpackedBytes: 741_088,
    },
    {
      name: "nvidia-nvjitlink-cu12",
      version: "12.9.86",
      platform: MANYLINUX_2010,
      sha256: "e3f1171dbdc83c5932a45f0f4c99180a70de9bd2718c1ab77d14104f6d7147f9",
      bytes: 39_748_338,
      folder: "nvidia/nvjitlink",
      files: ["lib/libnvJitLink.so.12"],
      unpackedBytes: 95_935_344,
    },
    NVCC,
    {
      name: "nvidia-cuda-nvrtc-cu12",
      version: "12.9.86",
      platform: MANYLINUX_2010,
      sha256: "210cf05005a447e29214e9ce50851e83fc5f4358df8b453155d5e1918094dcb4",
      bytes: 89_568_129,
      folder: "nvidia/cuda_nvrtc",
      files: ["lib/libnvrtc.so.12", "lib/libnvrtc-builtins.so.12.9"],
      unpackedBytes: 113_447_240,
    },
    {
      name: "nvidia-cufft-cu12",
      version: "11.4.1.4",
      platform: MANYLINUX_2014,
      sha256: "c67884f2a7d276b4b80eb56a79322a95df592ae5e765cf1243693365ccab4e28",
      bytes: 200_877_592,
      folder: "nvidia/cufft",
      files: ["lib/libcufft.so.11"],
      unpackedBytes: 291_507_928,
    },
    NCCL,
    {
      name: "nvidia-cusolver-cu12",
      version: "11.7.5.82",
      platform: MANYLINUX_2_27,
      sha256: "15da72d1340d29b5b3cf3fd100e3cd53421dde36002eda6ed93811af63c40d88",
      bytes: 338_117_415,
      folder: "nvidia/cusolver",
      files: ["lib/libcusolver.so.11"],
      unpackedBytes: 302_024_152,
    },
    {
      name: "nvidia-cusparse-cu12",
      version: "12.5.10.65",
      platform: MANYLINUX_2014,
      sha256: "73060ce019ac064a057267c585bf1fd5a353734151f87472ff02b2c5c9984e78",
      bytes: 366_465_088,
      folder: "nvidia/cusparse",
      files: ["lib/libcusparse.so.12"],
      unpackedBytes: 486_556_368,
    },
    TENSORFLOW,
    {
      name: "nvidia-cublas-cu12",
      version: "12.9.1.4",
      platform: MANYLINUX_2_27,
      sha256: "453611eb21a7c1f2c2156ed9f3a45b691deda0440ec550860290dc901af5b4c2",
      bytes: 581_242_350,
      folder: "nvidia/cublas",
      files: ["lib/libcublasLt.so.12", "lib/libcublas.so.12"],
      unpackedBytes: 854_346_880,
    },
    CUDNN,
  ],
};

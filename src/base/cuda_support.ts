/**
 * The GPUs that TensorFlow's CUDA build has kernels for, and the drivers that it needs. The engine asks the driver
 * itself, `gpus` asks nvidia-smi: both decide by these numbers.
 *
 * @module
 */

/** The oldest compute capability that the build has machine code for. */
export const OLDEST_CAPABILITY = 6.0;
/** Hopper: a part of TensorFlow's kernels are PTX 8.5 only. */
export const HOPPER = 9.0;
/** Blackwell: all of TensorFlow's kernels are PTX 8.5. */
export const BLACKWELL = 10.0;

/** The driver that a GPU needs. */
export interface DriverRequirement {
  /** Oldest version of the driver, such as `525.60.13`. */
  readonly driver: string;
  /** Release of CUDA that this driver reports, as CUDA counts: 12040 stands for 12.4. */
  readonly cuda: number;
  /** The reason: completes "… needs 525.60.13 or newer". */
  readonly why: string;
}

/** Returns the driver that a GPU needs; without a compute capability, the one that every GPU needs. */
export function driverRequirement(capability: number | undefined): DriverRequirement {
  if (capability !== undefined && capability >= BLACKWELL) {
    return { driver: "570.26", cuda: 12_080, why: "this GPU" };
  }
  if (capability !== undefined && capability >= HOPPER) {
    return { driver: "555.42.02", cuda: 12_050, why: "compiling TensorFlow's PTX 8.5 for it" };
  }
  // CUDA 12 release notes, "minor version compatibility".
  return { driver: "525.60.13", cuda: 12_000, why: "CUDA 12" };
}

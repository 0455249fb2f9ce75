/**
 * NVIDIA's driver: whether there is one, and whether it can run the CUDA build of TensorFlow on a GPU.
 *
 * @module
 */
import type { LibtensorflowBuild } from "../base/libtensorflow_path.ts";
import { VISIBLE_DEVICES } from "./visible_devices.ts";
import type { Gpu } from "./gpu.ts";

/** Oldest driver for libraries of CUDA 12 (CUDA 12 release notes, "minor version compatibility"). */
const CUDA_12_DRIVER = "525.60.13";
/** Oldest driver that compiles PTX 8.5, in which the build carries kernels without machine code for a GPU. */
const PTX_8_5_DRIVER = "555.42.02";
/** Oldest driver that knows Blackwell. */
const BLACKWELL_DRIVER = "570.26";

/** Compute capabilities: the oldest that the build has machine code for, Hopper, Blackwell. */
const OLDEST = 6.0;
const HOPPER = 9.0;
const BLACKWELL = 10.0;

/** The time that the driver takes to compile kernels when a GPU is first used. */
export type Compilation = "none" | "part" | "all";

/** Files by which an NVIDIA driver shows that it is loaded. */
const DRIVER_FILES = ["/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg"] as const;

/** Tells whether this machine has an NVIDIA driver, whatever GPUs it finds. */
export function hasDriver(files: readonly string[] = DRIVER_FILES): boolean {
  if (Deno.build.os !== "linux") return false;
  return files.some((file) => {
    try {
      Deno.lstatSync(file);
      return true;
    } catch {
      return false; // not there, or not for this process
    }
  });
}

/** Returns the part of TensorFlow's kernels that a driver must compile for a GPU before its first step. */
export function compilationFor({ computeCapability }: Pick<Gpu, "computeCapability">): Compilation {
  if (computeCapability === undefined || computeCapability < HOPPER) return "none";
  return computeCapability < BLACKWELL ? "part" : "all";
}

/** Returns what keeps the CUDA build from running on a GPU, in a sentence with its cure; nothing when it can. */
export function driverProblem(gpu: Gpu): string | undefined {
  const { computeCapability, driverVersion, index, name } = gpu;
  const what = `GPU ${index}, ${name}`;
  if (computeCapability !== undefined && computeCapability < OLDEST) {
    return `${what} has compute capability ${
      computeCapability.toFixed(1)
    }, and TensorFlow's kernels begin at ` +
      `${OLDEST.toFixed(1)}: leave it out with ${VISIBLE_DEVICES}, or set --device cpu`;
  }
  const { driver, why } = requirementOf(computeCapability);
  if (compareVersions(driverVersion, driver) >= 0) return undefined;
  return `The driver ${driverVersion} is too old for ${what}: ${why} needs ${driver} or newer; update the driver, ` +
    "or set --device cpu";
}

function requirementOf(capability: number | undefined): { driver: string; why: string } {
  if (capability !== undefined && capability >= BLACKWELL) {
    return { driver: BLACKWELL_DRIVER, why: "this GPU" };
  }
  if (capability !== undefined && capability >= HOPPER) {
    return { driver: PTX_8_5_DRIVER, why: "compiling TensorFlow's PTX 8.5 for it" };
  }
  return { driver: CUDA_12_DRIVER, why: "CUDA 12" };
}

/** Returns a negative number, 0 or a positive one as version `a` is older than `b`, the same or newer. */
export function compareVersions(a: string, b: string): number {
  const parts = (text: string) => text.split(".").map((part) => Number.parseInt(part, 10) || 0);
  const [left, right] = [parts(a), parts(b)];
  for (let at = 0; at < Math.max(left.length, right.length); at++) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Returns the build of libtensorflow with machine code for GPUs: the oldest, for its smaller size. */
export function buildFor(
  gpus: readonly Pick<Gpu, "computeCapability">[],
): Exclude<LibtensorflowBuild, "cpu"> {
  const isNew = gpus.some(({ computeCapability = 0 }) => computeCapability >= BLACKWELL);
  return isNew ? "cuda-12.9" : "cuda-12.5";
}

/**
 * NVIDIA's driver: whether there is one, and whether it can run the CUDA build of TensorFlow on a GPU.
 *
 * @module
 */
import { BLACKWELL, driverRequirement, HOPPER, OLDEST_CAPABILITY } from "../base/cuda_support.ts";
import type { LibtensorflowBuild } from "../base/libtensorflow_path.ts";
import { VISIBLE_DEVICES } from "./visible_devices.ts";
import type { Gpu } from "./gpu.ts";

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
export function compilationFor(
  { computeCapability }: { readonly computeCapability?: number | undefined },
): Compilation {
  if (computeCapability === undefined || computeCapability < HOPPER) return "none";
  return computeCapability < BLACKWELL ? "part" : "all";
}

/** Returns what keeps the CUDA build from running on a GPU, in a sentence with its cure; nothing when it can. */
export function driverProblem(gpu: Gpu): string | undefined {
  const { computeCapability, driverVersion, index, name } = gpu;
  const what = `GPU ${index}, ${name}`;
  if (computeCapability !== undefined && computeCapability < OLDEST_CAPABILITY) {
    return `${what} has compute capability ${
      computeCapability.toFixed(1)
    }, and TensorFlow's kernels begin at ` +
      `${OLDEST_CAPABILITY.toFixed(1)}: leave it out with ${VISIBLE_DEVICES}, or set --device cpu`;
  }
  const { driver, why } = driverRequirement(computeCapability);
  if (compareVersions(driverVersion, driver) >= 0) return undefined;
  return `The driver ${driverVersion} is too old for ${what}: ${why} needs ${driver} or newer; update the driver, ` +
    "or set --device cpu";
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

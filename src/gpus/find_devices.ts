/**
 * The devices that the workers of a run compute on. A machine with a GPU never trains on its CPU unasked: what keeps the
 * GPU from being used is an error with its cure.
 *
 * @module
 */
import type { ComputeDevice, ComputeGpu } from "../base/compute_device.ts";
import { CPU_DEVICE } from "../base/compute_device.ts";
import { messageOf, UsageError } from "../base/errors.ts";
import { given } from "../base/given.ts";
import { naming } from "../base/invocation.ts";
import { LIBTENSORFLOW_VARIABLE, type LibtensorflowBuild } from "../base/libtensorflow_path.ts";
import { chooseGpus } from "./choose_gpus.ts";
import { buildFor, hasDriver } from "./driver.ts";
import { type Gpu, type GpuListing, listGpus } from "./gpu.ts";
import { heldGpus } from "./gpu_claims.ts";
import { type NumaNode, numaNodeOf } from "./numa.ts";
import {
  DEVICE_ORDER,
  type GpuDevice,
  orderWarning,
  VISIBLE_DEVICES,
  visibleDevices,
} from "./visible_devices.ts";

/** The wishes of a config for its devices. */
export interface DeviceWishes {
  /** `auto` takes the GPUs of a machine that has any. */
  readonly device: "auto" | "cpu" | "gpu";
  /** GPUs by their indices or UUIDs. */
  readonly devices?: readonly string[] | undefined;
  /** Workers; as many as there are free GPUs unless given, and a single one on the CPU. */
  readonly workers?: number | undefined;
  /** Lets GPUs be used that other runs hold; otherwise they are left out, or refused where they are named. */
  readonly sharesHeld?: boolean | undefined;
}

/** The devices of a run. */
export interface FoundDevices {
  /** One per worker, in the order of the ranks. */
  readonly devices: readonly ComputeDevice[];
  /** The build of libtensorflow that the workers open. */
  readonly build: LibtensorflowBuild;
  /** Sentences about what a person should know. */
  readonly warnings: readonly string[];
}

/** The facts about a machine; tests give other machines than this one. */
export interface Surroundings {
  readonly os: string;
  readonly arch: string;
  /** The value of `CUDA_VISIBLE_DEVICES`; undefined when it isn't set. */
  readonly mask: string | undefined;
  /** The value of `CUDA_DEVICE_ORDER`; undefined when it isn't set. */
  readonly deviceOrder?: string | undefined;
  /** True when a libtensorflow of the user's own is opened, whatever build it is. */
  readonly hasOwnLibrary: boolean;
  /** Processes of the run itself. */
  readonly ownPids: readonly number[];
  readonly hasDriver: () => boolean;
  /** Opens a library of the driver; returns why it can't be opened, or nothing. */
  readonly whyClosed: (library: string) => string | undefined;
  readonly listGpus: () => Promise<GpuListing>;
  readonly numaNodeOf: (pciBusId: string) => Promise<NumaNode | undefined>;
  /** The claims of other runs; without them, no run holds GPUs against others. */
  readonly claims?: {
    /** Folder of the claims; that of this host unless given. */
    readonly folder?: string;
  };
}

const DRIVER_LIBRARY = "libcuda.so.1";
const MANAGEMENT_LIBRARY = "libnvidia-ml.so.1";

/** Returns this machine as it is. */
export function surroundings(): Surroundings {
  return {
    os: Deno.build.os,
    arch: Deno.build.arch,
    mask: Deno.env.get(VISIBLE_DEVICES),
    deviceOrder: Deno.env.get(DEVICE_ORDER),
    hasOwnLibrary: Boolean(Deno.env.get(LIBTENSORFLOW_VARIABLE)),
    ownPids: [Deno.pid],
    hasDriver: () => hasDriver(),
    whyClosed,
    listGpus: () => listGpus(),
    numaNodeOf: (pciBusId) => numaNodeOf(pciBusId),
    claims: {},
  };
}

function whyClosed(library: string): string | undefined {
  try {
    Deno.dlopen(library, {}).close();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/**
 * Finds a device for each worker.
 *
 * `auto` is the CPU only on a machine without an NVIDIA driver.
 *
 * @throws {UsageError} when GPUs can't be used as wished, naming the cure
 */
export async function findDevices(
  { device, devices: names, workers, sharesHeld }: DeviceWishes,
  machine: Surroundings = surroundings(),
): Promise<FoundDevices> {
  if (device === "cpu" || (device === "auto" && !names && !seemsToHaveGpus(machine))) {
    return cpuDevices(workers ?? 1);
  }
  requirePlatform(machine);
  requireDriver(machine);
  const gpus = await requireGpus(machine);
  const { mask, deviceOrder, ownPids, claims } = machine;
  const visible = visibleDevices(gpus, mask);
  const { devices, warnings } = chooseGpus(gpus, visible, mask, {
    devices: names,
    workers,
    ownPids,
    ...(claims ? { held: await heldGpus(claims.folder) } : {}),
    ...given("sharesHeld", sharesHeld),
  });
  return {
    devices: await Promise.all(devices.map((each) => computeGpu(each, machine))),
    build: buildFor(devices.map(({ gpu }) => gpu)),
    warnings: [orderWarning(gpus, mask, deviceOrder) ?? [], warnings].flat(),
  };
}

/** Returns the CPU as the device of each worker. */
export function cpuDevices(workers: number): FoundDevices {
  return {
    devices: Array.from({ length: workers }, () => CPU_DEVICE),
    build: "cpu",
    warnings: [],
  };
}

/** Tells whether a machine has a driver, whatever keeps it from working. */
function seemsToHaveGpus({ os, hasDriver, whyClosed }: Surroundings): boolean {
  return os === "linux" && (hasDriver() || whyClosed(DRIVER_LIBRARY) === undefined);
}

function requirePlatform({ os, arch, hasOwnLibrary }: Surroundings): void {
  if (os === "linux" && (arch === "x86_64" || hasOwnLibrary)) return;
  const own = os === "linux"
    ? `, or ${LIBTENSORFLOW_VARIABLE} to a CUDA build of libtensorflow of your own`
    : "";
  throw new UsageError(
    `TensorFlow's wheels for ${os} on ${arch} can't compute on NVIDIA GPUs: ${onCpu()}${own}`,
  );
}

function requireDriver({ hasDriver, whyClosed }: Surroundings): void {
  const problem = whyClosed(DRIVER_LIBRARY);
  if (problem !== undefined && !hasDriver()) {
    throw new UsageError(
      `There is no NVIDIA driver on this machine (${DRIVER_LIBRARY} can't be opened): install it, or ${onCpu()}`,
    );
  }
  if (problem !== undefined) {
    throw new UsageError(
      `NVIDIA's driver is loaded, but its library can't be opened (${problem}): in a container, give it the capability ` +
        `compute (NVIDIA_DRIVER_CAPABILITIES=compute,utility); otherwise mend the driver's installation, or ${onCpu()}`,
    );
  }
  const management = whyClosed(MANAGEMENT_LIBRARY);
  if (management === undefined) return;
  throw new UsageError(
    `${MANAGEMENT_LIBRARY} can't be opened (${management}), without which TensorFlow finds no GPU: in a container, give it ` +
      `the capability utility (NVIDIA_DRIVER_CAPABILITIES=compute,utility); otherwise mend the driver's installation, or ` +
      onCpu(),
  );
}

async function requireGpus({ listGpus }: Surroundings): Promise<readonly Gpu[]> {
  const { gpus, hasProgram, problem } = await listGpus();
  if (!hasProgram) {
    throw new UsageError(
      "NVIDIA's driver is here, but nvidia-smi isn't on the PATH, by which Lockstep finds the GPUs: add its folder; in a " +
        `container, give it the capability utility; or ${onCpu()}`,
    );
  }
  if (problem !== undefined) {
    throw new UsageError(
      `nvidia-smi ${problem}: run it by hand, and restart the driver or the machine if it fails again, or ${onCpu()}`,
    );
  }
  if (gpus.length > 0) return gpus;
  throw new UsageError(
    `nvidia-smi lists no GPU: in a container, pass the GPUs to it, such as with --gpus all; or ${onCpu()}`,
  );
}

function onCpu(): string {
  return `set ${naming("device")} to cpu`;
}

async function computeGpu(
  { gpu, uuid, profile }: GpuDevice,
  { numaNodeOf }: Surroundings,
): Promise<ComputeGpu> {
  const numa = await numaNodeOf(gpu.pciBusId);
  return {
    kind: "gpu",
    uuid,
    index: gpu.index,
    name: gpu.name,
    ...given("profile", profile),
    busId: gpu.pciBusId,
    driverVersion: gpu.driverVersion,
    ...given("computeCapability", gpu.computeCapability),
    ...given("memoryBytes", profile === undefined ? gpu.memoryTotalBytes : undefined),
    ...(numa ? { numa: { node: numa.node, cpus: [...numa.cpus] } } : {}),
  };
}

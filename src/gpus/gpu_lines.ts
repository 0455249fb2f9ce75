/**
 * The GPUs of this machine as lines of text.
 *
 * @module
 */
import { listed } from "../base/listing.ts";
import { compilationFor, driverProblem } from "./driver.ts";
import { describeHolder, type HeldGpus } from "./gpu_claims.ts";
import { type Gpu, migProblem } from "./gpu.ts";
import type { NumaNode } from "./numa.ts";
import { VISIBLE_DEVICES, type VisibleDevices } from "./visible_devices.ts";

const GIBIBYTE = 2 ** 30;
const MAX_PIDS = 5;

/**
 * Describes a GPU in a line: what it is, who uses and holds it, what CPUs are near it.
 *
 * @param held The GPUs that runs hold
 * @returns The line, and what keeps it from training, as a sentence with its cure
 */
export function describeGpu(
  gpu: Gpu,
  numa: NumaNode | undefined,
  held: HeldGpus = new Map(),
): { line: string; problem?: string } {
  const { computeCapability, memoryTotalBytes, memoryUsedBytes, driverVersion } = gpu;
  const parts = [
    ...(computeCapability === undefined
      ? []
      : [`compute capability ${computeCapability.toFixed(1)}`]),
    `driver ${driverVersion}`,
    ...(memoryTotalBytes === undefined
      ? []
      : [`memory ${memory(memoryUsedBytes, memoryTotalBytes)}`]),
    ...(gpu.isMig ? [describeMig(gpu)] : []),
    ...(gpu.computeMode === "Default" ? [] : [`compute mode ${gpu.computeMode}`]),
    gpu.processes.length === 0
      ? "used by nobody"
      : `used by process ${listed(gpu.processes.map(({ pid }) => String(pid)), { max: MAX_PIDS })}`,
    ...[gpu, ...gpu.migInstances].flatMap(({ uuid }) => {
      const holder = held.get(uuid);
      return holder
        ? [`${uuid === gpu.uuid ? "" : `${uuid} `}held by ${describeHolder(holder)}`]
        : [];
    }),
    ...(numa ? [`NUMA node ${numa.node} with ${numa.cpus.length} CPUs`] : []),
    ...(compilationFor(gpu) === "none" ? [] : [
      `${compilationFor(gpu) === "all" ? "all" : "some"} kernels are compiled at the first use`,
    ]),
  ];
  const problem = driverProblem(gpu) ?? migProblem(gpu);
  return {
    line: `GPU ${gpu.index}, ${gpu.name} (${gpu.uuid}): ${parts.join(", ")}`,
    ...(problem === undefined ? {} : { problem }),
  };
}

/** Describes the devices that `CUDA_VISIBLE_DEVICES` shows; nothing when it isn't set. */
export function describeMask(
  mask: string | undefined,
  visible: VisibleDevices,
): string | undefined {
  if (mask === undefined) return undefined;
  const shown = visible.devices.map(({ gpu, profile }) =>
    `GPU ${gpu.index}${profile === undefined ? "" : `, MIG ${profile}`}`
  );
  const ends = visible.invalidEntry === undefined
    ? ""
    : `; "${visible.invalidEntry}" is no device of this machine and hides all after it`;
  return `${VISIBLE_DEVICES}=${mask} shows ${shown.length === 0 ? "no GPU" : listed(shown)}${ends}`;
}

function memory(used: number | undefined, total: number): string {
  const gibibytes = (bytes: number) => (bytes / GIBIBYTE).toFixed(1);
  return used === undefined
    ? `${gibibytes(total)} GiB`
    : `${gibibytes(used)} of ${gibibytes(total)} GiB in use`;
}

function describeMig({ migInstances }: Gpu): string {
  return migInstances.length === 0
    ? "MIG mode without instances"
    : `MIG instances ${listed(migInstances.map(({ profile, uuid }) => `${profile} ${uuid}`))}`;
}

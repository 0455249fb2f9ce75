/**
 * The choice of the devices that a run's workers compute on.
 *
 * @module
 */
import { migProblem } from "./gpu.ts";
import { listed } from "../base/listing.ts";
import { UsageError } from "../base/errors.ts";
import type { Gpu } from "./gpu.ts";
import { type GpuDevice, VISIBLE_DEVICES, type VisibleDevices } from "./visible_devices.ts";

/** The request for devices. */
export interface DeviceRequest {
  /** Value of `--devices`: indices within the visible devices, UUIDs or MIG instances, separated by commas. */
  readonly devices?: string;
  /** Value of `CUDA_VISIBLE_DEVICES`. */
  readonly mask?: string;
  /** Number of workers, where the user has said it. */
  readonly workers?: number;
  /** Processes of this run's own, which don't count as others. */
  readonly ownPids?: readonly number[];
}

/** Devices for the workers, one each, by rank. */
export interface DeviceChoice {
  readonly devices: readonly GpuDevice[];
  /** Sentences for the user. */
  readonly warnings: readonly string[];
}

/** Names of devices in a message. */
const MAX_NAMES = 8;

/**
 * Chooses one device per worker.
 *
 * With `--devices`, exactly the named ones are taken, in their order. Without it, the visible ones that nobody uses; of
 * a given number of workers, each gets one, and those that others use come last.
 *
 * @throws {UsageError} when a device is unknown, named twice or can't be used, or when workers and devices don't fit
 */
export function chooseGpus(
  gpus: readonly Gpu[],
  visible: VisibleDevices,
  { devices: named, mask, workers, ownPids = [] }: DeviceRequest,
): DeviceChoice {
  const warnings: string[] = [];
  if (visible.invalidEntry !== undefined) {
    warnings.push(
      `${VISIBLE_DEVICES} is ${mask}: "${visible.invalidEntry}" is no device of this machine, so that CUDA hides it ` +
        "and all after it",
    );
  }
  if (visible.devices.length === 0) throw noDevices(gpus, mask);
  const isTaken = ({ gpu }: GpuDevice) => gpu.processes.some(({ pid }) => !ownPids.includes(pid));
  const wanted = named === undefined
    ? inOrderOfUse(visible.devices, isTaken, workers)
    : namedDevices(gpus, visible.devices, named, mask);
  if (named !== undefined && workers !== undefined && workers !== wanted.length) {
    throw new UsageError(
      `--workers is ${workers}, but --devices names ${wanted.length}: each worker has one device; ` +
        `leave --workers out, or name ${workers} devices`,
    );
  }
  if (workers !== undefined && workers > wanted.length) throw tooFew(visible, mask, workers);
  wanted.forEach((device) => requireUsable(device));
  const shared = wanted.filter(isTaken);
  if (shared.length > 0) warnings.push(inUse(shared));
  return { devices: wanted, warnings };
}

/** Returns a device for each worker, all free ones unless their number is given, in the order of the mask. */
function inOrderOfUse(
  devices: readonly GpuDevice[],
  isTaken: (device: GpuDevice) => boolean,
  workers: number | undefined,
): GpuDevice[] {
  const usable = devices.filter(({ gpu }) => gpu.computeMode !== "Prohibited");
  const free = usable.filter((device) => !isTaken(device));
  const taken = usable.filter(isTaken);
  const chosen = new Set([...free, ...taken].slice(0, workers ?? Math.max(1, free.length)));
  return devices.filter((device) => chosen.has(device));
}

function namedDevices(
  gpus: readonly Gpu[],
  visible: readonly GpuDevice[],
  named: string,
  mask: string | undefined,
): GpuDevice[] {
  const entries = named.split(",").map((entry) => entry.trim());
  if (entries.some((entry) => entry === "")) {
    throw new UsageError(
      `--devices is "${named}": separate indices or UUIDs by single commas, such as 0,2`,
    );
  }
  const chosen: GpuDevice[] = [];
  for (const entry of entries) {
    const device = oneNamed(gpus, visible, entry, mask);
    if (chosen.some(({ uuid }) => uuid === device.uuid)) {
      throw new UsageError(
        `--devices names ${describeDevice(device)} twice: each worker has its own device`,
      );
    }
    chosen.push(device);
  }
  return chosen;
}

function oneNamed(
  gpus: readonly Gpu[],
  visible: readonly GpuDevice[],
  entry: string,
  mask: string | undefined,
): GpuDevice {
  const within = mask === undefined ? "" : ` that ${VISIBLE_DEVICES}=${mask} shows`;
  const choices = `there are ${
    listed(visible.map((device, at) => `${at} (${shortName(device)})`), { max: MAX_NAMES })
  }`;
  if (/^\d+$/.test(entry)) {
    const device = visible[Number(entry)];
    if (device) return device;
    throw new UsageError(
      `--devices names device ${entry} of ${visible.length}${within}: ${choices}`,
    );
  }
  if (!/^(GPU|MIG)-/i.test(entry)) {
    throw new UsageError(
      `--devices has "${entry}": give indices, such as 0,2, or UUIDs, such as GPU-… or MIG-… of nvidia-smi -L`,
    );
  }
  const same = ({ uuid }: { uuid: string }) => uuid.toLowerCase().startsWith(entry.toLowerCase());
  const found = visible.filter(same);
  if (found.length === 1) return found[0]!;
  if (found.length > 1) {
    throw new UsageError(
      `--devices has "${entry}", with which ${found.length} devices begin: give more of the UUID`,
    );
  }
  const whole = gpus.find(same);
  if (whole?.isMig) {
    const instances = visible.filter(({ gpu }) => gpu === whole);
    throw new UsageError(
      instances.length === 0
        ? migProblem(whole)!
        : `--devices names ${shortGpu(whole)}, which is in MIG mode: name its instances, ` +
          listed(instances.map(({ uuid }) => uuid), { max: MAX_NAMES }),
    );
  }
  throw new UsageError(
    `--devices has "${entry}", which is no device of this machine${within}: ${choices}`,
  );
}

function requireUsable({ gpu }: GpuDevice): void {
  if (gpu.computeMode === "Prohibited") {
    throw new UsageError(
      `${
        shortGpu(gpu)
      } lets no process compute (compute mode Prohibited): an administrator changes it with ` +
        `nvidia-smi -i ${gpu.index} -c DEFAULT; or leave it out of --devices`,
    );
  }
  if (gpu.computeMode === "Exclusive_Process" && gpu.processes.length > 0) {
    throw new UsageError(
      `${shortGpu(gpu)} is in exclusive-process mode and used by process ${
        gpu.processes[0]!.pid
      }: wait for it, ` +
        "or leave the GPU out of --devices",
    );
  }
}

function noDevices(gpus: readonly Gpu[], mask: string | undefined): UsageError {
  if (gpus.length === 0) {
    return new UsageError("nvidia-smi lists no GPU: look at the driver, or set --device cpu");
  }
  const problem = gpus.map(migProblem).find((sentence) => sentence !== undefined);
  if (mask === undefined && problem !== undefined) return new UsageError(problem);
  return new UsageError(
    `${VISIBLE_DEVICES} is "${mask}", which shows none of the ${gpus.length} GPUs of this machine: correct or unset it, ` +
      "or set --device cpu",
  );
}

function tooFew(
  { devices }: VisibleDevices,
  mask: string | undefined,
  workers: number,
): UsageError {
  const shown = mask === undefined ? "" : `, of those that ${VISIBLE_DEVICES}=${mask} shows`;
  return new UsageError(
    `--workers is ${workers}, but there ${
      devices.length === 1 ? "is 1 GPU" : `are ${devices.length} GPUs`
    }${shown}: each worker needs one of its own; use --workers ${devices.length}, or --device cpu`,
  );
}

function inUse(devices: readonly GpuDevice[]): string {
  const users = devices.map((device) => {
    const { processes } = device.gpu;
    const pids = listed(processes.map(({ pid }) => String(pid)), { max: MAX_NAMES });
    return `${shortName(device)} (process ${pids})`;
  });
  return `In use by others: ${
    listed(users, { max: MAX_NAMES })
  }; memory and time are shared with them. Choose other ` +
    "devices with --devices, or fewer with --workers";
}

/** A device for people: its index and name. */
export function describeDevice(device: GpuDevice): string {
  return `${shortName(device)} (${device.uuid})`;
}

function shortName({ gpu, profile }: GpuDevice): string {
  return `${shortGpu(gpu)}${profile === undefined ? "" : `, MIG ${profile}`}`;
}

function shortGpu({ index, name }: Gpu): string {
  return `GPU ${index}, ${name}`;
}

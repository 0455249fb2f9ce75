/**
 * The choice of a GPU for each worker.
 *
 * @module
 */
import { counted } from "../base/format.ts";
import { UsageError } from "../base/errors.ts";
import { giving, naming, task } from "../base/invocation.ts";
import { listed } from "../base/listing.ts";
import { driverProblem } from "./driver.ts";
import { type Gpu, migProblem } from "./gpu.ts";
import { describeHolder, type HeldGpus } from "./gpu_claims.ts";
import { allOf, type GpuDevice, VISIBLE_DEVICES, type VisibleDevices } from "./visible_devices.ts";

/** The wishes for the GPUs of a run. */
export interface GpuWishes {
  /** Indices among the visible devices, or UUIDs; any devices unless given. */
  readonly devices?: readonly string[] | undefined;
  /** Workers, each with a GPU of its own; as many as there are free GPUs unless given. */
  readonly workers?: number | undefined;
  /** Processes of the run itself, whose use of a GPU doesn't count. */
  readonly ownPids?: readonly number[];
  /** The GPUs that other runs hold. */
  readonly held?: HeldGpus;
  /** Lets those be used too, where there are no others. */
  readonly sharesHeld?: boolean;
}

/** The GPUs of a run. */
export interface ChosenGpus {
  /** One per worker, in the order of the ranks. */
  readonly devices: readonly GpuDevice[];
  /** Sentences about what a person should know. */
  readonly warnings: readonly string[];
}

/** GPUs, UUIDs and processes that a message names. */
const MAX_SHOWN = 8;

/** Differences of free memory below this don't change the order of GPUs. */
const MEMORY_STEP = 256 * 2 ** 20;

/**
 * Chooses a device for each worker: free ones first, and of these the ones with the most free memory; the result is in the
 * order of the list. GPUs that other runs hold are left out.
 *
 * An index counts within the mask of `CUDA_VISIBLE_DEVICES`, as CUDA counts; without a mask it is that of `nvidia-smi`.
 *
 * @param gpus All GPUs of the machine
 * @param visible Those that the mask shows
 * @param mask The value of `CUDA_VISIBLE_DEVICES`; undefined when it isn't set
 * @throws {UsageError} for a device that doesn't exist, is named twice, can't compute or is held by another run, and for
 * too few devices
 */
export function chooseGpus(
  gpus: readonly Gpu[],
  visible: VisibleDevices,
  mask: string | undefined,
  { devices: names, workers, ownPids = [], held = new Map(), sharesHeld = false }: GpuWishes,
): ChosenGpus {
  const warnings = maskWarnings(visible, mask);
  requireVisible(gpus, visible, mask);
  const known = { gpus, visible, mask };
  const isFree = (device: GpuDevice) =>
    !held.has(device.uuid) && foreignPids(device, ownPids).length === 0;
  const candidates = names
    ? namedDevices(names, known, ownPids)
    : usableDevices(visible.devices, { ownPids, warnings });
  if (!names && mask === undefined) warnings.push(...withoutInstances(gpus));
  const usable = sharesHeld ? candidates : candidates.filter(({ uuid }) => !held.has(uuid));
  const free = candidates.filter(isFree);
  const count = workers ?? (names ? candidates.length : Math.max(1, free.length));
  requireEnough(count, candidates, { ...known, names });
  requireNotHeld(count, usable.length, candidates, { held, names });
  const ordered = names ? usable : mostMemoryFirst(usable);
  const rank = (device: GpuDevice) => isFree(device) ? 0 : held.has(device.uuid) ? 2 : 1;
  const chosen = new Set(ordered.toSorted((a, b) => rank(a) - rank(b)).slice(0, count));
  const devices = candidates.filter((each) => chosen.has(each));
  const uses = useWarnings(devices, candidates, { ownPids, held });
  return { devices, warnings: [...warnings, ...uses] };
}

/** Devices with more free memory first; those of about the same, or of unknown memory, in their order. */
function mostMemoryFirst(devices: readonly GpuDevice[]): GpuDevice[] {
  const free = ({ gpu: { memoryTotalBytes, memoryUsedBytes }, profile }: GpuDevice) =>
    profile !== undefined || memoryTotalBytes === undefined || memoryUsedBytes === undefined
      ? 0
      : Math.round((memoryTotalBytes - memoryUsedBytes) / MEMORY_STEP);
  return devices.toSorted((a, b) => free(b) - free(a));
}

/** The machine as far as messages speak of it. */
interface Known {
  readonly gpus: readonly Gpu[];
  readonly visible: VisibleDevices;
  readonly mask: string | undefined;
}

function maskWarnings({ invalidEntry, devices }: VisibleDevices, mask: string | undefined) {
  if (invalidEntry === undefined || devices.length === 0) return [];
  return [
    `${VISIBLE_DEVICES} is ${mask}, of which CUDA takes ${
      counted(devices.length, "device")
    }: "${invalidEntry}" is no ` +
    "device of this machine, or is named twice, and hides all after it",
  ];
}

/** Refuses a machine on which no device can be seen. */
function requireVisible(
  gpus: readonly Gpu[],
  { devices, invalidEntry }: VisibleDevices,
  mask: string | undefined,
): void {
  if (devices.length > 0) return;
  if (mask === undefined) throw new UsageError(firstProblem(gpus));
  const why = invalidEntry ? `: it begins with "${invalidEntry}", which is no device here` : "";
  throw new UsageError(
    `${VISIBLE_DEVICES} is "${mask}", which hides all ${
      gpuCount(gpus.length)
    } of this machine${why}; correct or unset it, or ` +
      `set ${naming("device")} to cpu`,
  );
}

function firstProblem(gpus: readonly Gpu[]): string {
  const problem = gpus.map(migProblem).find((text) => text !== undefined);
  return problem ?? `There is no GPU: set ${naming("device")} to cpu`;
}

/** The devices that are named, in the order of their names. */
function namedDevices(
  names: readonly string[],
  known: Known,
  ownPids: readonly number[],
): GpuDevice[] {
  const devices: GpuDevice[] = [];
  for (const name of names) {
    const device = deviceNamed(name, known);
    const problem = problemOf(device, ownPids);
    if (problem !== undefined) throw new UsageError(problem);
    const twin = devices.findIndex(({ uuid }) => uuid === device.uuid);
    if (twin >= 0) {
      const other = names[twin];
      throw new UsageError(
        `${naming("devices")} names ${describeDevice(device)} twice${
          other === name ? "" : `, as ${other} and as ${name}`
        }: each worker needs a GPU of its own; leave one of them out`,
      );
    }
    devices.push(device);
  }
  return devices;
}

function deviceNamed(name: string, known: Known): GpuDevice {
  return /^\d+$/.test(name) ? deviceAt(Number(name), known) : deviceByUuid(name, known);
}

function deviceAt(index: number, { gpus, visible, mask }: Known): GpuDevice {
  if (mask === undefined) {
    const gpu = gpus.find((each) => each.index === index);
    if (gpu) return wholeGpu(gpu);
  } else {
    const device = visible.devices[index];
    if (device) return device;
  }
  const count = mask === undefined ? gpus.length : visible.devices.length;
  const among = mask === undefined ? "" : ` that ${VISIBLE_DEVICES}=${mask} shows`;
  throw new UsageError(
    `${naming("devices")} names device ${index}, but there ${count === 1 ? "is" : "are"} ${
      gpuCount(count)
    }${among}: give ` +
      `${count === 1 ? "0" : `indices from 0 to ${count - 1}`}`,
  );
}

/** Returns a GPU as a device, unless it computes through its MIG instances alone. */
function wholeGpu(gpu: Gpu): GpuDevice {
  const problem = migProblem(gpu);
  if (problem !== undefined) throw new UsageError(problem);
  if (!gpu.isMig) return { gpu, uuid: gpu.uuid };
  const instances = gpu.migInstances.map(({ uuid, profile }) => `${uuid} (${profile})`);
  throw new UsageError(
    `GPU ${gpu.index}, ${gpu.name} is in MIG mode and computes through its instances: name those in ${
      naming("devices")
    }, such as ${listed(instances, { max: MAX_SHOWN })}`,
  );
}

function deviceByUuid(name: string, { gpus, visible, mask }: Known): GpuDevice {
  const begins = ({ uuid }: { uuid: string }) => uuid.toLowerCase().startsWith(name.toLowerCase());
  const whole = gpus.filter((gpu) => gpu.isMig && begins(gpu));
  const found = gpus.flatMap(allOf).filter(begins);
  if (found.length + whole.length > 1) {
    const uuids = [...found, ...whole].map(({ uuid }) => uuid);
    throw new UsageError(
      `${naming("devices")} names ${name}, with which ${
        listed(uuids, { max: MAX_SHOWN })
      } begin: give more of it`,
    );
  }
  const [gpu] = whole;
  if (gpu) return wholeGpu(gpu);
  const [device] = found;
  if (!device) {
    throw new UsageError(
      `${naming("devices")} names ${name}, which no device of this machine has as its UUID: ${
        giveOne(gpus.flatMap(allOf))
      }`,
    );
  }
  if (visible.devices.some(({ uuid }) => uuid === device.uuid)) return device;
  throw new UsageError(
    `${naming("devices")} names ${
      describeDevice(device)
    }, which ${VISIBLE_DEVICES}=${mask} hides: ${giveOne(visible.devices)}`,
  );
}

function giveOne(devices: readonly GpuDevice[]): string {
  const names = devices.map((device) => `${device.uuid} (${describeDevice(device)})`);
  return `give ${listed(names, { max: MAX_SHOWN })}`;
}

/** The devices that can compute; a GPU that can't is named by a warning. */
function usableDevices(
  devices: readonly GpuDevice[],
  { ownPids, warnings }: { ownPids: readonly number[]; warnings: string[] },
): GpuDevice[] {
  const problems = new Map(devices.map((device) => [device, problemOf(device, ownPids)]));
  const usable = devices.filter((device) => problems.get(device) === undefined);
  const texts = new Set([...problems.values()].filter((text) => text !== undefined));
  const [first] = texts;
  if (usable.length === 0 && first !== undefined) throw new UsageError(first);
  for (const text of texts) warnings.push(`A GPU is left out: ${text}`);
  return usable;
}

/** Warns of GPUs in MIG mode that have no instances, of which there are no devices. */
function withoutInstances(gpus: readonly Gpu[]): string[] {
  return gpus.flatMap((gpu) => migProblem(gpu) ?? []).map((text) => `A GPU is left out: ${text}`);
}

/** Returns what keeps a device from computing, as a sentence with its cure. */
function problemOf(device: GpuDevice, ownPids: readonly number[]): string | undefined {
  return driverProblem(device.gpu) ?? modeProblem(device, ownPids);
}

function modeProblem(device: GpuDevice, ownPids: readonly number[]): string | undefined {
  const { gpu: { index, computeMode } } = device;
  const cure = `an administrator changes that with nvidia-smi -i ${index} -c DEFAULT`;
  if (computeMode === "Prohibited") {
    return `${
      describeDevice(device)
    } is in compute mode Prohibited, in which no process may compute on it: ${cure}`;
  }
  const pids = foreignPids(device, ownPids);
  if (computeMode !== "Exclusive_Process" || pids.length === 0) return undefined;
  return `${describeDevice(device)} is in compute mode Exclusive_Process and in use by ${
    processes(pids)
  }: wait for its end, ` +
    `take another GPU, or ${cure}`;
}

/** Refuses more workers than devices. */
function requireEnough(
  count: number,
  candidates: readonly GpuDevice[],
  { gpus, visible, mask, names }: Known & { names: readonly string[] | undefined },
): void {
  if (count <= candidates.length) return;
  const workers = naming("workers");
  const needs = `${workers} is ${count}, and each worker needs a GPU of its own`;
  if (names) {
    throw new UsageError(
      `${needs}, but ${naming("devices")} names ${counted(candidates.length, "device")} (${
        names.join(",")
      }): name more, or ` +
        `set ${workers} to ${candidates.length}`,
    );
  }
  const shown = visible.devices.length;
  const all = mask === undefined
    ? `there ${shown === 1 ? "is" : "are"} ${counted(shown, "GPU")}`
    : `${VISIBLE_DEVICES}=${mask} shows ${shown} of the ${gpuCount(gpus.length)}`;
  const usable = shown > candidates.length ? `, of which ${candidates.length} can be used` : "";
  throw new UsageError(
    `${needs}, but ${all}${usable}: set ${workers} to ${candidates.length}${
      candidates.length === 1 ? "" : " or fewer"
    }, or ${naming("device")} to cpu`,
  );
}

/** Refuses what needs devices that other runs hold. */
function requireNotHeld(
  count: number,
  usable: number,
  candidates: readonly GpuDevice[],
  { held, names }: { held: HeldGpus; names: readonly string[] | undefined },
): void {
  if (count <= usable) return;
  const taken = candidates.filter(({ uuid }) => held.has(uuid));
  const holders = listed(
    taken.map((device) => `${describeDevice(device)} by ${describeHolder(held.get(device.uuid)!)}`),
    { max: MAX_SHOWN },
  );
  const own = new Set(
    taken.map(({ uuid }) => held.get(uuid)!).filter(({ isOwn }) => isOwn).map(({ pid }) => pid),
  );
  const share = giving("engine.shareGpus", "true");
  const cures = [
    ...(names ? ["name others"] : usable > 0 ? [`set ${naming("workers")} to ${usable}`] : []),
    own.size === 1 ? `end that run with ${task(`stop ${[...own][0]}`)}` : "wait for their end",
    ...(share === undefined ? [] : [`share them with ${share}`]),
  ];
  const what = names
    ? `${naming("devices")} is ${names.join(",")}`
    : `${counted(count, "GPU")} ${count === 1 ? "is" : "are"} needed`;
  const rest = names ? "" : usable === 0 ? "none is free" : `${usable} can be had`;
  throw new UsageError(
    `${what}, but ${rest === "" ? "" : `${rest}: `}other runs hold ${holders}: ${
      cures.join(", or ")
    }, or set ${naming("device")} to cpu`,
  );
}

/** Warns of devices that others use: those that were taken, and those that were left out for that. */
function useWarnings(
  devices: readonly GpuDevice[],
  candidates: readonly GpuDevice[],
  { ownPids, held }: { ownPids: readonly number[]; held: HeldGpus },
): string[] {
  return candidates.flatMap((device) => {
    const holder = held.get(device.uuid);
    if (holder) {
      const effect = devices.includes(device) ? "memory and speed are shared with it" : "left out";
      return [`${describeDevice(device)} is held by ${describeHolder(holder)}: ${effect}`];
    }
    const pids = foreignPids(device, ownPids);
    if (pids.length === 0) return [];
    const used = `${describeDevice(device)} is in use by ${processes(pids)}`;
    return devices.includes(device)
      ? [`${used}: memory and speed are shared with ${pids.length === 1 ? "it" : "them"}`]
      : [`${used}: left out`];
  });
}

/** Returns the processes of others that compute on a GPU; those of a MIG instance aren't known. */
function foreignPids({ gpu, profile }: GpuDevice, ownPids: readonly number[]): number[] {
  if (profile !== undefined) return [];
  return gpu.processes.map(({ pid }) => pid).filter((pid) => !ownPids.includes(pid));
}

function processes(pids: readonly number[]): string {
  const names = listed(pids.map(String), { max: MAX_SHOWN });
  return pids.length === 1 ? `process ${names}` : `processes ${names}`;
}

/** Names a device for messages, such as `GPU 1, NVIDIA L4` or `MIG 1g.10gb of GPU 0, NVIDIA H100 80GB HBM3`. */
export function describeDevice({ gpu, profile }: GpuDevice): string {
  const name = `GPU ${gpu.index}, ${gpu.name}`;
  return profile === undefined ? name : `MIG ${profile} of ${name}`;
}

function gpuCount(count: number): string {
  return counted(count, "GPU");
}

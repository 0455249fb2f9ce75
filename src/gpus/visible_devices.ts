/**
 * `CUDA_VISIBLE_DEVICES`: the devices that CUDA shows to a process, and their order.
 *
 * @module
 */
import type { Gpu } from "./gpu.ts";

/** The environment variable. */
export const VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES";

/** The environment variable by which CUDA counts GPUs in another order than `nvidia-smi`, the fastest first. */
export const DEVICE_ORDER = "CUDA_DEVICE_ORDER";

/**
 * Returns a warning where a mask's indices mean other GPUs to CUDA than to `nvidia-smi`: CUDA counts the fastest GPU first
 * unless the order is `PCI_BUS_ID`. Lockstep counts as `nvidia-smi`; the order makes no difference to GPUs of one model.
 *
 * @param order Value of {@linkcode DEVICE_ORDER}
 */
export function orderWarning(
  gpus: readonly Pick<Gpu, "name">[],
  mask: string | undefined,
  order: string | undefined,
): string | undefined {
  const hasIndices = mask?.split(",").some((entry) => /^\s*\d+\s*$/.test(entry));
  const models = new Set(gpus.map(({ name }) => name));
  if (!hasIndices || models.size < 2 || order === "PCI_BUS_ID") return undefined;
  return `${VISIBLE_DEVICES}=${mask} is read in the order of nvidia-smi, as with ${DEVICE_ORDER}=PCI_BUS_ID; programs that ` +
    "leave that variable unset count this machine's GPUs in another order";
}

/** A device that a process can compute on: a GPU, or a MIG instance of one. */
export interface GpuDevice {
  readonly gpu: Gpu;
  /** The name that CUDA takes: of the GPU (`GPU-…`) or of its instance (`MIG-…`). */
  readonly uuid: string;
  /** Profile of the MIG instance, where it is one. */
  readonly profile?: string;
}

/** Devices of a mask. */
export interface VisibleDevices {
  /** In the order of the mask; a device's position is the index that CUDA gives it. */
  readonly devices: readonly GpuDevice[];
  /** The entry at which CUDA stops reading, which hides it and all after it. */
  readonly invalidEntry?: string;
}

/**
 * Returns the devices that CUDA would show with a mask (CUDA C++ Programming Guide, "CUDA Environment Variables"):
 * without one all GPUs in PCI order; else those of its entries, by index, by UUID or by a beginning of it that only one
 * device has. At the first entry that names no device, or one for the second time, CUDA stops reading.
 *
 * A GPU in MIG mode counts with its first instance.
 *
 * @param mask Value of the variable; undefined when it isn't set
 */
export function visibleDevices(gpus: readonly Gpu[], mask: string | undefined): VisibleDevices {
  if (mask === undefined) return { devices: gpus.flatMap(allOf) };
  const devices: GpuDevice[] = [];
  const entries = mask.split(",").map((entry) => entry.trim());
  if (entries.length === 1 && entries[0] === "") return { devices: [] };
  for (const entry of entries) {
    const device = deviceNamed(gpus, entry);
    if (!device || devices.some(({ uuid }) => uuid === device.uuid)) {
      // "-1" and "NoDevFiles" are the usual ways to end the list on purpose.
      return /^(-1|NoDevFiles|none|void)$/i.test(entry)
        ? { devices }
        : { devices, invalidEntry: entry };
    }
    devices.push(device);
  }
  return { devices };
}

/** Returns the devices of a GPU: itself, or its MIG instances. */
export function allOf(gpu: Gpu): GpuDevice[] {
  return gpu.isMig
    ? gpu.migInstances.map(({ uuid, profile }) => ({ gpu, uuid, profile }))
    : [{ gpu, uuid: gpu.uuid }];
}

function deviceNamed(gpus: readonly Gpu[], entry: string): GpuDevice | undefined {
  if (/^\d+$/.test(entry)) {
    const gpu = gpus.find(({ index }) => index === Number(entry));
    return gpu && allOf(gpu)[0];
  }
  if (!/^(GPU|MIG)-/i.test(entry)) return undefined;
  const same = (uuid: string) => uuid.toLowerCase().startsWith(entry.toLowerCase());
  const all = gpus.flatMap(allOf).filter(({ uuid }) => same(uuid));
  // The UUID of a GPU in MIG mode stands for its first instance.
  const whole = gpus.filter((gpu) => gpu.isMig && same(gpu.uuid)).flatMap((gpu) =>
    allOf(gpu).slice(0, 1)
  );
  const found = [...all, ...whole];
  return found.length === 1 ? found[0] : undefined;
}

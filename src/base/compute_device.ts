/**
 * The device that a worker computes on: the coordinator chooses it, and the worker opens no other.
 *
 * @module
 */
import { z } from "../deps/zod.ts";

const count = z.int().nonnegative();

/** The schema of a GPU, or of a MIG instance of one. */
export const gpuDeviceSchema = z.strictObject({
  kind: z.literal("gpu"),
  /** The name that CUDA takes: `GPU-…` or `MIG-…`. */
  uuid: z.string(),
  /** Of the GPU, as `nvidia-smi` counts. */
  index: count,
  /** Such as `NVIDIA H100 80GB HBM3`. */
  name: z.string(),
  /** Of the MIG instance, where the device is one. */
  profile: z.string().optional(),
  /** Such as `00000000:3B:00.0`. */
  busId: z.string(),
  /** Version of the driver, such as `550.54.15`. */
  driverVersion: z.string().optional(),
  /** Such as 9.0; unknown to old drivers. */
  computeCapability: z.number().optional(),
  /** All of the GPU's memory; unknown for a MIG instance. */
  memoryBytes: count.optional(),
  /** The NUMA node that the GPU is attached to, with its CPUs, where the kernel knows. */
  numa: z.strictObject({ node: count, cpus: z.array(count) }).optional(),
});

/** The schema of a device. */
export const computeDeviceSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("cpu") }),
  gpuDeviceSchema,
]);

/** A GPU, or a MIG instance of one. */
export type ComputeGpu = z.output<typeof gpuDeviceSchema>;

/** The device of a worker. */
export type ComputeDevice = z.output<typeof computeDeviceSchema>;

/** The device of workers that compute on the CPU. */
export const CPU_DEVICE: ComputeDevice = { kind: "cpu" };

/** Names a device for people: `CPU`, or the card's name. */
export function deviceName(device: ComputeDevice): string {
  if (device.kind === "cpu") return "CPU";
  return device.profile === undefined ? device.name : `${device.name} MIG ${device.profile}`;
}

/** Names a device with its number: `CPU`, or `GPU 0, NVIDIA L4`. */
export function numberedDevice(device: ComputeDevice): string {
  return device.kind === "cpu" ? "CPU" : `GPU ${device.index}, ${deviceName(device)}`;
}

/** Completes a worker's name in messages: ` on GPU 1 (GPU-8f3c…)`; nothing for the CPU. */
export function onDevice(device: ComputeDevice): string {
  return device.kind === "gpu" ? ` on GPU ${device.index} (${device.uuid})` : "";
}

/** The schema of a device that a worker has opened. */
export const openedDeviceSchema = z.strictObject({
  kind: z.enum(["cpu", "gpu"]),
  /** `CPU`, or the card's name. */
  name: z.string(),
  /** The name that CUDA takes. */
  uuid: z.string().optional(),
  /** Of the GPU, as `nvidia-smi` counts. */
  index: count.optional(),
  numaNode: count.optional(),
  /** Number of the CPUs that the worker's threads are bound to, where they are. */
  boundCpus: count.optional(),
  /** TensorFlow's names of what it may place ops on, such as `CPU:0`. */
  tensorflow: z.array(z.string()),
});

/** A device that a worker has opened. */
export type OpenedDevice = z.output<typeof openedDeviceSchema>;

/** Describes the devices of all workers: `CPU`, `NVIDIA L4`, `4 × NVIDIA H100 80GB HBM3`. */
export function describeDevices(devices: readonly ComputeDevice[]): string {
  // Workers on the CPU share it.
  if (devices.every(({ kind }) => kind === "cpu")) return "CPU";
  return countNames(devices.map(deviceName));
}

/** Lists names with the number of those that come several times: `2 × NVIDIA L4, NVIDIA T4`. */
export function countNames(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => count > 1 ? `${count} × ${name}` : name).join(", ");
}

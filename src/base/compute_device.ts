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

/** Describes the devices of all workers: `CPU`, `NVIDIA L4`, `4 × NVIDIA H100 80GB HBM3`. */
export function describeDevices(devices: readonly ComputeDevice[]): string {
  const counts = new Map<string, number>();
  for (const device of devices) {
    const name = deviceName(device);
    counts.set(name, device.kind === "cpu" ? 1 : (counts.get(name) ?? 0) + 1);
  }
  return [...counts].map(([name, count]) => count > 1 ? `${count} × ${name}` : name).join(", ");
}

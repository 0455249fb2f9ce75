/**
 * GPUs for tests.
 *
 * @module
 */
import type { Gpu } from "../../src/gpus/gpu.ts";

/** An A100 with some values changed. */
export function someGpu(index: number, changes: Partial<Gpu> = {}): Gpu {
  return {
    index,
    uuid: `GPU-${index}0000000-aaaa-bbbb-cccc-dddddddddddd`,
    name: "NVIDIA A100-SXM4-40GB",
    pciBusId: `00000000:0${index}:00.0`,
    driverVersion: "550.54.15",
    computeCapability: 8,
    memoryTotalBytes: 40960 * 2 ** 20,
    memoryUsedBytes: 4 * 2 ** 20,
    isMig: false,
    migInstances: [],
    computeMode: "Default",
    processes: [],
    ...changes,
  };
}

/** As many A100s. */
export function someGpus(count: number): Gpu[] {
  return Array.from({ length: count }, (_, index) => someGpu(index));
}

/** A GPU in MIG mode with instances. */
export function migGpu(index: number, instances: number): Gpu {
  return someGpu(index, {
    isMig: true,
    migInstances: Array.from({ length: instances }, (_, at) => ({
      uuid: `MIG-${index}${at}000000-1111-2222-3333-444444444444`,
      profile: "1g.5gb",
    })),
  });
}

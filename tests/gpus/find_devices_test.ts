import assert from "node:assert/strict";
import { join } from "node:path";
import { describeDevices } from "../../src/base/compute_device.ts";
import { UsageError } from "../../src/base/errors.ts";
import { type DeviceWishes, findDevices, type Surroundings } from "../../src/gpus/find_devices.ts";
import { numaNodeOf } from "../../src/gpus/numa.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { migGpu, someGpu, someGpus } from "./some_gpus.ts";

/** A machine with four GPUs, changed. */
function machine(changes: Partial<Surroundings> = {}): Surroundings {
  return {
    os: "linux",
    arch: "x86_64",
    mask: undefined,
    hasOwnLibrary: false,
    ownPids: [],
    hasDriver: () => true,
    whyClosed: () => undefined,
    listGpus: () => Promise.resolve({ gpus: someGpus(4), hasProgram: true }),
    numaNodeOf: () => Promise.resolve(undefined),
    ...changes,
  };
}

const WITHOUT_DRIVER = {
  hasDriver: () => false,
  whyClosed: (library: string) => `${library}: cannot open shared object file`,
  listGpus: () => Promise.resolve({ gpus: [], hasProgram: false }),
};

async function refuses(
  wishes: Partial<DeviceWishes>,
  changes: Partial<Surroundings>,
  ...says: string[]
): Promise<void> {
  await assert.rejects(findDevices({ device: "auto", ...wishes }, machine(changes)), (error) => {
    assert.ok(error instanceof UsageError);
    for (const text of says) assert.ok(error.message.includes(text), error.message);
    return true;
  });
}

Deno.test("findDevices() takes the free GPUs of a machine, and the CPU of one without a driver", async () => {
  const found = await findDevices({ device: "auto" }, machine());
  assert.equal(found.build, "cuda-12.5");
  assert.equal(describeDevices(found.devices), "4 × NVIDIA A100-SXM4-40GB");
  assert.deepEqual(found.devices[2], {
    kind: "gpu",
    uuid: someGpu(2).uuid,
    index: 2,
    name: "NVIDIA A100-SXM4-40GB",
    busId: "00000000:02:00.0",
    driverVersion: "550.54.15",
    computeCapability: 8,
    memoryBytes: 40960 * 2 ** 20,
  });
  const cpu = await findDevices({ device: "auto" }, machine(WITHOUT_DRIVER));
  assert.deepEqual(cpu, { devices: [{ kind: "cpu" }], build: "cpu", warnings: [] });
  assert.equal(
    (await findDevices({ device: "auto", workers: 3 }, machine(WITHOUT_DRIVER))).devices.length,
    3,
  );
  const chosen = await findDevices({ device: "cpu", workers: 2 }, machine());
  assert.equal(describeDevices(chosen.devices), "CPU");
  assert.equal(chosen.devices.length, 2);
});

Deno.test("findDevices() takes the build with machine code for the newest GPU that computes", async () => {
  const gpus = [someGpu(0), someGpu(1, { computeCapability: 12, driverVersion: "575.10.1" })];
  const listGpus = () => Promise.resolve({ gpus, hasProgram: true });
  const build = async (devices?: string[]) =>
    (await findDevices({ device: "gpu", devices }, machine({ listGpus }))).build;
  assert.equal(await build(), "cuda-12.9");
  assert.equal(await build(["0"]), "cuda-12.5");
});

Deno.test("findDevices() never goes on on the CPU where a GPU can't be used: an error says why", async () => {
  const closed = (name: string) => (library: string) =>
    library === name ? `${name}: cannot open shared object file` : undefined;
  await refuses({}, { whyClosed: closed("libcuda.so.1") }, "capability compute", "device to cpu");
  await refuses({}, { whyClosed: closed("libnvidia-ml.so.1") }, "libnvidia-ml.so.1", "utility");
  await refuses({}, { hasDriver: () => false, whyClosed: closed("libnvidia-ml.so.1") }, "utility");
  const lists = (gpus: ReturnType<typeof someGpus>, more = {}) => ({
    listGpus: () => Promise.resolve({ gpus, hasProgram: true, ...more }),
  });
  await refuses({}, { listGpus: WITHOUT_DRIVER.listGpus }, "nvidia-smi isn't on the PATH");
  await refuses({}, lists([]), "lists no GPU", "--gpus all");
  await refuses({}, lists([], { problem: "gave no answer within 4 s" }), "gave no answer");
  await refuses({}, lists([someGpu(0, { driverVersion: "470.1" })]), "too old");
  await refuses({}, lists([migGpu(0, 0)]), "MIG mode without instances");
  await refuses({}, { arch: "aarch64" }, "aarch64", "LOCKSTEP_LIBTENSORFLOW");
  await refuses({}, { mask: "-1" }, "hides all 4 GPUs");
  await refuses({ device: "gpu" }, WITHOUT_DRIVER, "no NVIDIA driver", "device to cpu");
  await refuses({ devices: ["0"] }, WITHOUT_DRIVER, "no NVIDIA driver");
  await refuses({ device: "gpu" }, { os: "darwin", arch: "aarch64" }, "darwin");
  const own = await findDevices(
    { device: "auto" },
    machine({ arch: "aarch64", hasOwnLibrary: true }),
  );
  assert.equal(own.devices.length, 4);
});

Deno.test("findDevices() names a MIG instance by its UUID, and a GPU's NUMA node by the kernel's files", () =>
  withTemporaryFolder(async (sys) => {
    const device = join(sys, "bus/pci/devices/0000:00:00.0");
    const node = join(sys, "devices/system/node/node1");
    await Promise.all([device, node].map((path) => Deno.mkdir(path, { recursive: true })));
    await Deno.writeTextFile(join(device, "numa_node"), "1\n");
    await Deno.writeTextFile(join(node, "cpulist"), "4-5,9\n");
    const gpus = [migGpu(0, 2), someGpu(1)];
    const { devices } = await findDevices(
      { device: "gpu" },
      machine({
        listGpus: () => Promise.resolve({ gpus, hasProgram: true }),
        numaNodeOf: (busId) => numaNodeOf(busId, sys),
      }),
    );
    const [first, , last] = devices;
    assert.deepEqual(first, {
      kind: "gpu",
      uuid: gpus[0]!.migInstances[0]!.uuid,
      index: 0,
      name: "NVIDIA A100-SXM4-40GB",
      profile: "1g.5gb",
      busId: "00000000:00:00.0",
      driverVersion: "550.54.15",
      computeCapability: 8,
      numa: { node: 1, cpus: [4, 5, 9] },
    });
    assert.equal(last?.kind === "gpu" && last.numa, undefined);
    assert.equal(
      describeDevices(devices),
      "2 × NVIDIA A100-SXM4-40GB MIG 1g.5gb, NVIDIA A100-SXM4-40GB",
    );
  }));

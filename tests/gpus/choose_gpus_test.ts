import assert from "node:assert/strict";
import { UsageError } from "../../src/base/errors.ts";
import { chooseGpus, type DeviceRequest } from "../../src/gpus/choose_gpus.ts";
import type { Gpu } from "../../src/gpus/gpu.ts";
import { visibleDevices } from "../../src/gpus/visible_devices.ts";
import { migGpu, someGpu, someGpus } from "./some_gpus.ts";

function choose(gpus: readonly Gpu[], request: DeviceRequest = {}) {
  const { devices, warnings } = chooseGpus(gpus, visibleDevices(gpus, request.mask), request);
  return {
    uuids: devices.map(({ uuid }) => uuid),
    at: devices.map(({ gpu }) => gpu.index),
    warnings,
  };
}

function refuses(gpus: readonly Gpu[], request: DeviceRequest, message: RegExp) {
  assert.throws(() => choose(gpus, request), (error) => {
    assert.ok(error instanceof UsageError);
    assert.match(error.message, message);
    return true;
  });
}

/** A GPU that somebody else uses. */
const used = (index: number) => someGpu(index, { processes: [{ pid: 4000 + index }] });

Deno.test("chooseGpus() takes all free devices, or one for each worker", () => {
  assert.deepEqual(choose(someGpus(4)).at, [0, 1, 2, 3]);
  assert.deepEqual(choose(someGpus(4), { workers: 2 }).at, [0, 1]);
  assert.deepEqual(choose(someGpus(4), { mask: "3,1" }).at, [3, 1]);
  const some = [used(0), someGpu(1), used(2), someGpu(3)];
  assert.deepEqual(choose(some), {
    uuids: [some[1]!.uuid, some[3]!.uuid],
    at: [1, 3],
    warnings: [],
  });
  assert.deepEqual(choose(some, { workers: 1 }).at, [1]);
});

Deno.test("chooseGpus() warns of devices that others use where it needs them, not of the run's own", () => {
  const some = [used(0), someGpu(1)];
  const { at, warnings } = choose(some, { workers: 2 });
  assert.deepEqual(at, [0, 1]);
  assert.deepEqual(warnings, [
    "In use by others: GPU 0, NVIDIA A100-SXM4-40GB (process 4000); memory and time are shared with them. Choose " +
    "other devices with --devices, or fewer with --workers",
  ]);
  assert.deepEqual(choose([used(0)]).at, [0]); // one worker at least
  assert.deepEqual(choose(some, { workers: 2, ownPids: [4000] }).warnings, []);
  assert.equal(choose(some, { devices: "0" }).warnings.length, 1);
});

Deno.test("chooseGpus() takes exactly the named devices, whose indices count within the mask", () => {
  const gpus = someGpus(4);
  assert.deepEqual(choose(gpus, { devices: "0,2" }).at, [0, 2]);
  assert.deepEqual(choose(gpus, { devices: "2, 0", workers: 2 }).at, [2, 0]);
  assert.deepEqual(choose(gpus, { devices: "1,0", mask: "3,1" }).at, [1, 3]);
  assert.deepEqual(choose(gpus, { devices: `${gpus[3]!.uuid},GPU-1` }).at, [3, 1]);
  const mig = [someGpu(0), migGpu(1, 2)];
  const [first, second] = mig[1]!.migInstances.map(({ uuid }) => uuid);
  assert.deepEqual(choose(mig, { devices: `${second},0` }).uuids, [second, mig[0]!.uuid]);
  assert.deepEqual(choose(mig).uuids, [mig[0]!.uuid, first, second]);
});

Deno.test("chooseGpus() says what is wrong with --devices, and what there is", () => {
  const gpus = someGpus(2);
  refuses(
    gpus,
    { devices: "7" },
    /^--devices names device 7 of 2: there are 0 \(GPU 0, NVIDIA A100-SXM4-40GB\), 1 \(/,
  );
  refuses(
    someGpus(4),
    { devices: "2", mask: "3,1" },
    /^--devices names device 2 of 2 that CUDA_VISIBLE_DEVICES=3,1 shows: /,
  );
  refuses(
    gpus,
    { devices: "0,0" },
    /^--devices names GPU 0, .* twice: each worker has its own device$/,
  );
  refuses(gpus, { devices: "" }, /separate indices or UUIDs by single commas/);
  refuses(gpus, { devices: "0,,1" }, /separate indices or UUIDs by single commas/);
  refuses(gpus, { devices: "-1" }, /^--devices has "-1": give indices/);
  refuses(gpus, { devices: "cuda:0" }, /^--devices has "cuda:0": give indices/);
  refuses(
    gpus,
    { devices: "GPU-f" },
    /^--devices has "GPU-f", which is no device of this machine: there are 0 /,
  );
  refuses(gpus, { devices: "GPU-" }, /with which 2 devices begin: give more of the UUID$/);
  refuses(
    someGpus(3),
    { devices: "GPU-2", mask: "0,1" },
    /no device of this machine that CUDA_VISIBLE_DEVICES=0,1 shows/,
  );
  refuses(
    gpus,
    { devices: "0", workers: 2 },
    /^--workers is 2, but --devices names 1: .* leave --workers out, or name 2 devices$/,
  );
  const mig = [migGpu(0, 2), migGpu(1, 0)];
  refuses(
    mig,
    { devices: mig[0]!.uuid },
    /is in MIG mode: name its instances, MIG-00000000-.*, MIG-01/,
  );
  refuses(mig, { devices: mig[1]!.uuid }, /MIG mode without instances/);
});

Deno.test("chooseGpus() refuses more workers than devices, and machines without a usable device", () => {
  refuses(
    someGpus(2),
    { workers: 3 },
    /^--workers is 3, but there are 2 GPUs: .* use --workers 2, or --device cpu$/,
  );
  refuses(
    someGpus(4),
    { workers: 2, mask: "1" },
    /there is 1 GPU, of those that CUDA_VISIBLE_DEVICES=1 shows/,
  );
  refuses([], {}, /^nvidia-smi lists no GPU/);
  refuses(someGpus(2), { mask: "" }, /^CUDA_VISIBLE_DEVICES is "", which shows none of the 2 GPUs/);
  refuses(
    [migGpu(0, 0)],
    {},
    /^GPU 0, .* is in MIG mode without instances: .* nvidia-smi -i 0 -mig 0$/,
  );
  refuses([someGpu(0, { computeMode: "Prohibited" })], { devices: "0" }, /compute mode Prohibited/);
  const exclusive = someGpu(0, { computeMode: "Exclusive_Process", processes: [{ pid: 77 }] });
  refuses([exclusive], {}, /exclusive-process mode and used by process 77/);
});

Deno.test("chooseGpus() warns of a mask that CUDA cuts short", () => {
  const { at, warnings } = choose(someGpus(4), { mask: "1,9,2" });
  assert.deepEqual(at, [1]);
  assert.match(
    warnings[0]!,
    /^CUDA_VISIBLE_DEVICES is 1,9,2: "9" is no device .* hides it and all after it$/,
  );
});

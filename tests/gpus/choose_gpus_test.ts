import assert from "node:assert/strict";
import { UsageError } from "../../src/base/errors.ts";
import { chooseGpus, type GpuWishes } from "../../src/gpus/choose_gpus.ts";
import type { Gpu } from "../../src/gpus/gpu.ts";
import { visibleDevices } from "../../src/gpus/visible_devices.ts";
import { migGpu, someGpu, someGpus } from "./some_gpus.ts";

function choose(gpus: readonly Gpu[], wishes: GpuWishes = {}, mask?: string) {
  return chooseGpus(gpus, visibleDevices(gpus, mask), mask, wishes);
}

/** Indices of the chosen GPUs. */
const indices = (...args: Parameters<typeof choose>) =>
  choose(...args).devices.map(({ gpu }) => gpu.index);

function refuses(args: Parameters<typeof choose>, ...says: (string | RegExp)[]): void {
  assert.throws(() => choose(...args), (error) => {
    assert.ok(error instanceof UsageError);
    for (const text of says) {
      if (typeof text === "string") assert.ok(error.message.includes(text), error.message);
      else assert.match(error.message, text);
    }
    assert.doesNotMatch(error.message, /undefined|\.$/);
    return true;
  });
}

const used = (index: number, ...pids: number[]) =>
  someGpu(index, { processes: pids.map((pid) => ({ pid })) });

Deno.test("chooseGpus() gives each worker a GPU of its own, all free ones unless told otherwise", () => {
  assert.deepEqual(indices(someGpus(4)), [0, 1, 2, 3]);
  assert.deepEqual(indices(someGpus(4), { workers: 2 }), [0, 1]);
  assert.deepEqual(indices([someGpu(0)]), [0]);
  const busy = [used(0, 10), someGpu(1), used(2, 11, 12), someGpu(3)];
  assert.deepEqual(indices(busy), [1, 3]);
  assert.deepEqual(indices(busy, { workers: 1 }), [1]);
  assert.deepEqual(indices(busy, { workers: 3 }), [0, 1, 3], "in the order of the list");
  assert.deepEqual(indices([used(0, 10), used(1, 11)]), [0], "one at least");
  assert.deepEqual(indices(busy, { ownPids: [10, 11, 12] }), [0, 1, 2, 3]);
});

Deno.test("chooseGpus() warns of GPUs that others use, whether it takes them or leaves them out", () => {
  const busy = [used(0, 10), someGpu(1), used(2, 11, 12), someGpu(3)];
  assert.deepEqual(choose(busy, { workers: 3 }).warnings, [
    "GPU 0, NVIDIA A100-SXM4-40GB is in use by process 10: memory and speed are shared with it",
    "GPU 2, NVIDIA A100-SXM4-40GB is in use by processes 11, 12: left out",
  ]);
  assert.deepEqual(choose(busy, { devices: ["3", "1"] }).warnings, []);
  assert.deepEqual(choose(someGpus(2)).warnings, []);
});

const GIBIBYTE = 2 ** 30;
const filled = (index: number, usedBytes: number) =>
  someGpu(index, { memoryTotalBytes: 40 * GIBIBYTE, memoryUsedBytes: usedBytes });

Deno.test("chooseGpus() prefers GPUs with the most free memory, whatever their order", () => {
  const gpus = [filled(0, 9 * GIBIBYTE), filled(1, 2 * GIBIBYTE), filled(2, 0), filled(3, 2 ** 20)];
  assert.deepEqual(indices(gpus, { workers: 1 }), [2], "about the same: in their order");
  assert.deepEqual(indices(gpus, { workers: 3 }), [1, 2, 3]);
  assert.deepEqual(indices(gpus), [0, 1, 2, 3]);
  assert.deepEqual(
    indices([...gpus, used(4, 10)], { workers: 4 }),
    [0, 1, 2, 3],
    "free ones first",
  );
  const { memoryUsedBytes: _, ...unknown } = someGpu(4);
  assert.deepEqual(indices([unknown, filled(0, GIBIBYTE)], { workers: 1 }), [0]);
  assert.deepEqual(indices(gpus, { devices: ["0", "2"], workers: 1 }), [0], "the order of names");
});

const holder = (pid: number, run: string, isOwn = true) => ({
  ...{ pid, run, isOwn },
  user: isOwn ? "ann" : "bob",
});
const heldBy = (...holders: [index: number, holder: ReturnType<typeof holder>][]) =>
  new Map(holders.map(([index, own]) => [someGpu(index).uuid, own]));

Deno.test("chooseGpus() leaves GPUs out that other runs hold, says by whom, and refuses them by name", () => {
  const gpus = [used(0, 77), ...someGpus(4).slice(1)];
  const held = heldBy([0, holder(70, "flowers")], [2, holder(80, "birds", false)]);
  assert.deepEqual(indices(gpus, { held }), [1, 3]);
  assert.deepEqual(choose(gpus, { held, workers: 2 }).warnings, [
    "GPU 0, NVIDIA A100-SXM4-40GB is held by run flowers (process 70 of ann): left out",
    "GPU 2, NVIDIA A100-SXM4-40GB is held by run birds (process 80 of bob): left out",
  ]);
  refuses(
    [gpus, { held, devices: ["1", "0"] }],
    "devices is 1,0, but other runs hold GPU 0, NVIDIA A100-SXM4-40GB by run flowers (process 70 of ann): name others, or ",
    "end that run with deno task stop 70, or share them with engine.shareGpus=true, or set device to cpu",
  );
  refuses(
    [gpus, { held, devices: ["2"] }],
    "by run birds (process 80 of bob): name others, or wait",
  );
  assert.deepEqual(indices(gpus, { held, devices: ["0", "1"], workers: 1 }), [1]);
  refuses(
    [gpus, { held, workers: 3 }],
    "3 GPUs are needed, but 2 can be had: other runs",
    "workers to 2",
  );
  const all = heldBy([1, holder(70, "")], [0, holder(70, "")]);
  refuses(
    [someGpus(2), { held: all }],
    "1 GPU is needed, but none is free: other runs hold GPU 0, NVIDIA A100-SXM4-40GB by a run (process 70 of ann), GPU 1",
    "end that run with deno task stop 70",
  );
  const shared = { held, sharesHeld: true };
  assert.deepEqual(indices(gpus, shared), [1, 3], "free ones are enough");
  assert.deepEqual(choose(gpus, { ...shared, devices: ["0"] }).warnings, [
    "GPU 0, NVIDIA A100-SXM4-40GB is held by run flowers (process 70 of ann): memory and speed are shared with it",
  ]);
  assert.deepEqual(indices(gpus, { ...shared, workers: 3 }), [0, 1, 3]);
  const mig = migGpu(0, 2);
  const instance = new Map([[mig.migInstances[0]!.uuid, holder(70, "a")]]);
  assert.deepEqual(
    choose([mig], { held: instance }).devices.map(({ uuid }) => uuid),
    [mig.migInstances[1]!.uuid],
  );
});

Deno.test("chooseGpus() takes devices by index, UUID or a beginning of it, in their order", () => {
  const gpus = someGpus(4);
  assert.deepEqual(indices(gpus, { devices: ["2", "0"] }), [2, 0]);
  assert.deepEqual(indices(gpus, { devices: [gpus[3]!.uuid, "gpu-1"] }), [3, 1]);
  assert.deepEqual(indices(gpus, { devices: ["0", "2"], workers: 1 }), [0]);
  assert.deepEqual(
    indices([used(0, 10), someGpu(1)], { devices: ["0", "1"], workers: 1 }),
    [1],
    "a free one first",
  );
  assert.deepEqual(indices([used(0, 10), someGpu(1)], { devices: ["0", "1"] }), [0, 1]);
});

Deno.test("chooseGpus() obeys CUDA_VISIBLE_DEVICES: indices count within it, and others stay hidden", () => {
  const gpus = someGpus(4);
  assert.deepEqual(indices(gpus, {}, "2,3"), [2, 3]);
  assert.deepEqual(indices(gpus, { devices: ["0"] }, "2,3"), [2]);
  assert.deepEqual(indices(gpus, { devices: ["1", "0"] }, `3,${gpus[1]!.uuid}`), [1, 3]);
  refuses(
    [gpus, { devices: ["2"] }, "2,3"],
    "there are 2 GPUs that CUDA_VISIBLE_DEVICES=2,3 shows",
  );
  refuses([gpus, { devices: [gpus[0]!.uuid] }, "2,3"], "CUDA_VISIBLE_DEVICES=2,3 hides");
  refuses(
    [gpus, { workers: 3 }, "2,3"],
    "CUDA_VISIBLE_DEVICES=2,3 shows 2 of the 4 GPUs",
    "workers to 2",
  );
  const cut = choose(gpus, {}, "1,9,2");
  assert.deepEqual(cut.devices.map(({ gpu }) => gpu.index), [1]);
  assert.match(
    cut.warnings[0]!,
    /CUDA_VISIBLE_DEVICES is 1,9,2, of which CUDA takes 1 device: "9"/,
  );
  for (const mask of ["", "-1", "NoDevFiles", "9", "GPU-ffff"]) {
    refuses([gpus, {}, mask], "hides all 4 GPUs", "device to cpu");
  }
});

Deno.test("chooseGpus() refuses devices that aren't there or are named twice", () => {
  const gpus = someGpus(4);
  refuses(
    [gpus, { devices: ["7"] }],
    "names device 7, but there are 4 GPUs: give indices from 0 to 3",
  );
  refuses([[someGpu(0)], { devices: ["1"] }], "there is 1 GPU: give 0");
  refuses([gpus, { devices: ["GPU-ffff"] }], "GPU-ffff", gpus[2]!.uuid);
  refuses([gpus, { devices: ["GPU-"] }], "give more of it");
  refuses([gpus, { devices: ["1", "1"] }], "twice");
  refuses([gpus, { devices: ["1", gpus[1]!.uuid] }], `as 1 and as ${gpus[1]!.uuid}`);
  refuses([gpus, { devices: ["0", "1"], workers: 3 }], "names 2 devices (0,1)", "workers to 2");
});

Deno.test("chooseGpus() refuses more workers than GPUs and says what to do", () => {
  refuses(
    [someGpus(4), { workers: 5 }],
    "workers is 5",
    "there are 4 GPUs",
    "workers to 4 or fewer",
    "device to cpu",
  );
  refuses([[someGpu(0)], { workers: 2 }], "there is 1 GPU", "workers to 1");
});

Deno.test("chooseGpus() pins MIG instances, and refuses a GPU in MIG mode as a whole", () => {
  const gpus = [migGpu(0, 3), someGpu(1), migGpu(2, 0)];
  const [first, second] = gpus[0]!.migInstances;
  const all = choose(gpus);
  assert.deepEqual(all.devices.map(({ uuid }) => uuid), [
    ...gpus[0]!.migInstances.map(({ uuid }) => uuid),
    gpus[1]!.uuid,
  ]);
  assert.match(
    all.warnings.join(),
    /A GPU is left out: GPU 2, .* is in MIG mode without instances/,
  );
  assert.deepEqual(
    choose(gpus, { devices: [second!.uuid, "1"] }).devices.map(({ uuid }) => uuid),
    [second!.uuid, gpus[1]!.uuid],
  );
  refuses([gpus, { devices: ["0"] }], "computes through its instances", first!.uuid);
  refuses([gpus, { devices: [gpus[0]!.uuid] }], "computes through its instances");
  refuses([gpus, { devices: ["2"] }], "without instances", "mig -cgi");
  refuses([[migGpu(0, 0)], {}], "without instances");
});

Deno.test("chooseGpus() refuses GPUs whose mode or driver keeps them from computing, or leaves them out", () => {
  const prohibited = someGpu(1, { computeMode: "Prohibited" });
  const taken = someGpu(2, { computeMode: "Exclusive_Process", processes: [{ pid: 99 }] });
  const alone = someGpu(3, { computeMode: "Exclusive_Process" });
  const old = someGpu(0, { driverVersion: "470.82.01" });
  assert.deepEqual(indices([someGpu(0), prohibited, taken, alone]), [0, 3]);
  assert.equal(choose([someGpu(0), prohibited, taken]).warnings.length, 2);
  refuses(
    [[someGpu(0), prohibited], { devices: ["1"] }],
    "Prohibited",
    "nvidia-smi -i 1 -c DEFAULT",
  );
  refuses([[someGpu(0), prohibited, taken], { devices: ["2"] }], "Exclusive_Process", "process 99");
  refuses(
    [[someGpu(0), prohibited, taken], { workers: 2 }],
    "there are 3 GPUs, of which 1 can be used",
  );
  refuses([[taken], {}], "Exclusive_Process");
  refuses([[old], {}], "470.82.01 is too old", "525.60.13");
  refuses([[old], { devices: ["0"] }], "470.82.01 is too old");
  refuses([[someGpu(0, { computeCapability: 3.7 })], {}], "compute capability 3.7");
});

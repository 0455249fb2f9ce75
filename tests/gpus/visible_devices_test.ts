import assert from "node:assert/strict";
import { orderWarning, visibleDevices } from "../../src/gpus/visible_devices.ts";
import { migGpu, someGpu, someGpus } from "./some_gpus.ts";

const GPUS = someGpus(4);
const UUIDS = GPUS.map(({ uuid }) => uuid);

/** Positions of the GPUs that a mask shows, and the entry that ends it. */
function shown(mask: string | undefined) {
  const { devices, invalidEntry } = visibleDevices(GPUS, mask);
  return [devices.map(({ gpu }) => gpu.index), invalidEntry];
}

Deno.test("visibleDevices() shows what CUDA shows", () => {
  const cases: [string | undefined, number[], string?][] = [
    [undefined, [0, 1, 2, 3]],
    ["", []],
    ["-1", []],
    ["NoDevFiles", []],
    ["0", [0]],
    ["2,0", [2, 0]],
    [" 3 , 1 ", [3, 1]],
    ["1,7,2", [1], "7"],
    ["1,-1,2", [1]],
    ["1,1", [1], "1"],
    ["0,,2", [0], ""],
    ["x", [], "x"],
    [UUIDS[2], [2]],
    [`${UUIDS[3]},${UUIDS[0]}`, [3, 0]],
    ["GPU-1", [1]],
    ["gpu-10000000", [1]],
    ["GPU-", [], "GPU-"], // all of them begin so
    ["GPU-f", [], "GPU-f"],
    [`0,${UUIDS[0]}`, [0], UUIDS[0]],
  ];
  for (const [mask, indices, invalid] of cases) {
    assert.deepEqual(shown(mask), [indices, invalid], `mask ${mask}`);
  }
});

Deno.test("visibleDevices() shows MIG instances in the place of their GPU", () => {
  const gpus = [...someGpus(1), migGpu(1, 2), migGpu(2, 0)];
  const uuids = (mask?: string) => visibleDevices(gpus, mask).devices.map(({ uuid }) => uuid);
  const [first, second] = gpus[1]!.migInstances.map(({ uuid }) => uuid);
  assert.deepEqual(uuids(), [gpus[0]!.uuid, first, second]);
  assert.deepEqual(uuids("1"), [first]); // CUDA takes the first instance of a GPU that is named whole
  assert.deepEqual(uuids(gpus[1]!.uuid), [first]);
  assert.deepEqual(uuids(second), [second]);
  assert.deepEqual(uuids("MIG-11"), [second]);
  assert.deepEqual(uuids("2"), []);
});

Deno.test("orderWarning() says where a mask's indices mean other GPUs to CUDA", () => {
  const mixed = [someGpu(0, { name: "NVIDIA T400" }), someGpu(1)];
  assert.match(orderWarning(mixed, "0", undefined)!, /CUDA_VISIBLE_DEVICES=0 is read in the order/);
  assert.match(orderWarning(mixed, "0, 1", "FASTEST_FIRST")!, /CUDA_DEVICE_ORDER=PCI_BUS_ID/);
  assert.equal(orderWarning(mixed, "0", "PCI_BUS_ID"), undefined);
  assert.equal(orderWarning(mixed, mixed[0]!.uuid, undefined), undefined);
  assert.equal(orderWarning(mixed, undefined, undefined), undefined);
  assert.equal(orderWarning(someGpus(2), "1", undefined), undefined);
});

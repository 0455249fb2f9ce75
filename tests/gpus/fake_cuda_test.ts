import assert from "node:assert/strict";
import type { Gpu } from "../../src/gpus/gpu.ts";
import {
  fakeGpuMachine,
  type FakeMachine,
  type FakeMachineOptions,
} from "../support/fake_cuda/machine.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
import { runDeno } from "../support/run_deno.ts";
import { migGpu, someGpu } from "./some_gpus.ts";

const PROGRAM = new URL("fake_cuda_program.ts", import.meta.url).pathname;

async function run(machine: FakeMachine, scenario: string, env: Record<string, string> = {}) {
  const result = await runDeno(["run", "-A", "--no-check", PROGRAM, scenario], {
    env: { ...machine.env, ...env },
  });
  assert.equal(result.code, 0, result.stderr);
  return JSON.parse(result.stdout);
}

async function onMachine(options: FakeMachineOptions, scenario: string) {
  await using machine = await fakeGpuMachine(options);
  return await run(machine, scenario);
}

fakeCudaTest(
  "a missing wait shows on the fake: the bytes of a copy are there only once it is done",
  async () => {
    const found = await onMachine({ seed: 3, maxDelayMicros: 1000 }, "waits");
    assert.equal(found.with.right, 40);
    assert.ok(found.without.right < 40, "each reading came late enough");
    assert.ok(found.without.poisoned > 0);
    assert.ok(found.pinned > 0, "pinned memory is read when the copy runs");
    assert.equal(found.pageable, 0, "pageable memory is read at once");
    assert.deepEqual(found.values, {
      code: 0,
      before: { query: 600, first: 0 },
      after: { query: 0, first: 7 },
    });
    assert.deepEqual(found.registered, [0, 712]);
    assert.deepEqual(found.refused, { early: 3, codes: [201, 201, 201, 201, 201, 201] });
  },
);

const digits = ({ uuid }: { uuid: string }) => uuid.replace(/^\w+-/, "").replaceAll("-", "");

fakeCudaTest(
  "the fake shows the devices that CUDA_VISIBLE_DEVICES names, as CUDA does",
  async () => {
    const gpus: Gpu[] = [0, 1, 2].map((index) => someGpu(index));
    await using machine = await fakeGpuMachine({ gpus: [...gpus, migGpu(3, 2)] });
    const mig = machine.gpus[3]!.migInstances;
    const shown = async (mask: string) =>
      (await run(machine, "devices", { CUDA_VISIBLE_DEVICES: mask })).uuids;
    const [a, b, c] = gpus.map(digits);
    assert.deepEqual((await run(machine, "devices")).uuids, [a, b, c]);
    const masks: [string, (string | undefined)[]][] = [
      ["2,0", [c, a]],
      [`${gpus[1]!.uuid},0`, [b, a]],
      ["GPU-2", [c]],
      ["1,7,0", [b]],
      ["1,1", []],
      ["-1", []],
      [mig[1]!.uuid, [digits(mig[1]!)]],
    ];
    const all = await Promise.all(masks.map(([mask]) => shown(mask)));
    assert.deepEqual(all, masks.map(([, uuids]) => uuids));
    const records = await machine.records();
    assert.equal(records.length, 8);
    assert.ok(records.every(({ devices }) => devices.every(({ hasContext }) => !hasContext)));
  },
);

fakeCudaTest("the fake has the faults of cards and drivers", async () => {
  assert.deepEqual(await onMachine({ memoryMebibytes: 4 }, "fills"), {
    allocations: 4,
    error: "cuMemAlloc returned 2",
  });
  const lost = await onMachine({ gpus: 2, lost: { gpu: 0, afterLaunches: 3 } }, "falls");
  assert.deepEqual(lost, { launches: [0, 0, 0, 46, 46], synchronize: 46, other: 0 });
  assert.ok(await onMachine({ moduleLoadMillis: 300 }, "loads") >= 300);
  assert.equal((await onMachine({ gpus: 0 }, "devices")).code, 100);
  for (const initError of [802, 803, 999]) {
    assert.equal((await onMachine({ initError }, "devices")).code, initError);
  }
});

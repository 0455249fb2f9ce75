import assert from "node:assert/strict";
import { DeviceShares } from "../../src/compare/device_shares.ts";
import type { Surroundings } from "../../src/gpus/find_devices.ts";
import { someGpus } from "../gpus/some_gpus.ts";

function machine(count: number): Surroundings {
  return {
    ...{ os: "linux", arch: "x86_64", mask: undefined, hasOwnLibrary: false, ownPids: [] },
    hasDriver: () => count > 0,
    whyClosed: () => count > 0 ? undefined : "not found",
    listGpus: () => Promise.resolve({ gpus: someGpus(count), hasProgram: count > 0 }),
    numaNodeOf: () => Promise.resolve(undefined),
  };
}

Deno.test("DeviceShares gives runs that go on at the same time GPUs of their own", async () => {
  const auto = { device: "auto" as const };
  const seen = async (shares: DeviceShares, runs: number) =>
    await Promise.all(
      Array.from({ length: runs }, () =>
        shares.lend(async (variables) => {
          await Promise.resolve();
          return variables.CUDA_VISIBLE_DEVICES;
        })),
    );
  const uuids = someGpus(5).map(({ uuid }) => uuid);
  const two = await DeviceShares.divide([auto, auto, auto], 2, machine(5));
  const pairs = [uuids.slice(0, 2).join(), uuids.slice(2, 4).join()];
  assert.deepEqual(await seen(two, 2), pairs);
  assert.deepEqual(new Set(await seen(two, 2)), new Set(pairs), "given back, and lent again");
  assert.deepEqual(await seen(await DeviceShares.divide([auto], 1, machine(4)), 1), [undefined]);
  assert.deepEqual(await seen(await DeviceShares.divide([auto], 2, machine(0)), 2), [
    undefined,
    undefined,
  ]);
  const cpu = await DeviceShares.divide([{ device: "cpu" }], 2, machine(1));
  assert.deepEqual(await seen(cpu, 2), [undefined, undefined]);
  await assert.rejects(
    DeviceShares.divide([auto], 3, machine(2)),
    /3 runs .* 2 GPUs can be used: let 2 go on/,
  );
  await assert.rejects(
    DeviceShares.divide([{ device: "auto", devices: ["0"] }], 2, machine(4)),
    /devices is 0, but 2 runs/,
  );
});

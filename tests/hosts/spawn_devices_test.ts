import assert from "node:assert/strict";
import type { ComputeDevice } from "../../src/base/compute_device.ts";
import { spawnWorkers } from "../../src/hosts/spawn.ts";

const ENTRY = new URL("../support/telling_worker.ts", import.meta.url);

Deno.test("spawnWorkers() shows each worker its own GPU alone, and binds it to the CPUs near it", async () => {
  const gpu = (index: number, more = {}): ComputeDevice => ({
    kind: "gpu",
    uuid: `GPU-${index}000`,
    index,
    name: "NVIDIA L4",
    busId: `00000000:0${index}:00.0`,
    ...more,
  });
  const devices: ComputeDevice[] = [
    gpu(2, { numa: { node: 0, cpus: [0, 8000] } }),
    gpu(0, { profile: "1g.5gb", numa: { node: 1, cpus: [8000] } }),
    { kind: "cpu" },
  ];
  await using group = spawnWorkers({
    count: 3,
    run: { runId: "r", key: "k" } as Parameters<typeof spawnWorkers>[0]["run"],
    nats: { url: "nats://127.0.0.1:1" },
    threads: 1,
    devices,
    libraryPath: "/somewhere/libtensorflow_cc.so.2",
    lostAfter: 5,
    entry: ENTRY,
  });
  const given = await Promise.all(group.workers.map(async ({ exited, lastLines }) => {
    assert.equal((await exited).code, 0, lastLines.join("\n"));
    return JSON.parse(lastLines[0]!);
  }));
  assert.deepEqual(given.map(({ index }) => index), [0, 1, 2]);
  assert.deepEqual(given.map(({ device }) => device), devices);
  const inherited = Deno.env.get("CUDA_VISIBLE_DEVICES") ?? null;
  assert.deepEqual(given.map(({ visible }) => visible), ["GPU-2000", "GPU-0000", inherited]);
  assert.deepEqual(given.map(({ boundCpus }) => boundCpus), [1, null, null]);
  assert.ok(given.every(({ libraryPath }) => libraryPath === "/somewhere/libtensorflow_cc.so.2"));
});

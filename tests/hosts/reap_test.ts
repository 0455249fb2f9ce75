import assert from "node:assert/strict";
import { LockstepError } from "../../src/base/errors.ts";
import { withoutWaiting } from "../support/at_once.ts";
import { spawnWorkers } from "../../src/hosts/spawn.ts";

const ENTRY = new URL("../support/idle_worker.ts", import.meta.url);

/** Runs an action while no signal reaches a process, as where it hangs in the kernel. */
async function withoutSignals(action: () => Promise<void>): Promise<void> {
  const { kill } = Deno.ChildProcess.prototype;
  Deno.ChildProcess.prototype.kill = () => {};
  try {
    await action();
  } finally {
    Deno.ChildProcess.prototype.kill = kill;
  }
}

Deno.test("a worker that can't be ended, since its device holds it, is named; nobody waits for it for ever", async () => {
  const gpu = { kind: "gpu", uuid: "GPU-1000", index: 1, name: "NVIDIA L4", busId: "0" } as const;
  const group = spawnWorkers({
    count: 2,
    run: { runId: "r", key: "k" } as Parameters<typeof spawnWorkers>[0]["run"],
    nats: { url: "nats://127.0.0.1:1" },
    threads: 1,
    devices: [{ ...gpu, uuid: "GPU-0000", index: 0 }, gpu],
    lostAfter: 5,
    entry: ENTRY,
  });
  const [first, second] = group.workers;
  await withoutSignals(async () => {
    await assert.rejects(group.reap([second!.id], 50), (error) => {
      assert.ok(error instanceof LockstepError);
      assert.equal(
        error.message,
        `Worker 1 (pid ${
          second!.pid
        }) on GPU 1 (GPU-1000) was killed, but hasn't ended within 0.05 s: its device or its ` +
          "file system holds it; see dmesg",
      );
      return true;
    });
    await withoutWaiting(60, () => group.stop(0));
  });
  assert.equal(first!.exit, undefined, first!.lastLines.join("\n"));
  await group.reap([first!.id, second!.id]);
  assert.equal(second!.exit?.signal, "SIGKILL");
  assert.deepEqual(group.workers, []);
});

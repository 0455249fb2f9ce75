import assert from "node:assert/strict";
import { delay, within } from "../../src/base/async.ts";
import { WorkerLostError } from "../../src/cluster/lost_worker.ts";
import { withoutWaiting } from "../support/at_once.ts";
import { startCoordinator } from "../support/coordinator_rig.ts";
import { isRunning } from "../support/processes.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

/** Milliseconds for what comes within seconds, unless the machine stands still. */
const PATIENCE_MS = 30_000;

async function lostWorker(lost: AbortSignal): Promise<WorkerLostError> {
  const fired = new Promise<void>((resolve) => {
    if (lost.aborted) resolve();
    lost.addEventListener("abort", () => resolve());
  });
  await within(fired, PATIENCE_MS, () => new Error("nobody is lost"));
  assert.ok(lost.reason instanceof WorkerLostError);
  return lost.reason;
}

Deno.test("HeartbeatMonitor names rank, pid, signal and step of a killed worker, at once", async () => {
  await using run = await startCoordinator({ count: 2 });
  await run.commands.callAll("at");
  while (run.monitor.lastHeartbeat(1)?.step !== 17) await delay(50);
  const { pid } = run.workers[1];
  const call = run.commands.callAll("block", 60_000, { signal: run.lost });
  const ended = assert.rejects(call, WorkerLostError);
  Deno.kill(pid, "SIGKILL");
  const error = await lostWorker(run.lost);
  await ended;
  assert.match(
    error.message,
    new RegExp(`^Rank 1 \\(pid ${pid}\\) was killed by SIGKILL .*in epoch 3, step 17$`),
  );
  assert.deepEqual([error.rank, error.pid, error.exit?.signal], [1, pid, "SIGKILL"]);
  assert.equal(error.place?.step, 17);
});

Deno.test("HeartbeatMonitor warns of a stopped worker, and lets it go on", async () => {
  await using run = await startCoordinator({ count: 2, lostAfter: 60 });
  const { pid } = run.workers[0];
  while (!run.monitor.lastHeartbeat(0)) await delay(50);
  Deno.kill(pid, "SIGSTOP");
  while (run.warnings.length === 0) await delay(50);
  assert.match(
    run.warnings[0],
    new RegExp(`^Rank 0 \\(pid ${pid} on .*\\) has sent no heartbeat for 5 s`),
  );
  Deno.kill(pid, "SIGCONT");
  await run.commands.callAll("echo");
  await delay(1_200);
  assert.equal(run.lost.aborted, false);
  assert.equal(run.warnings.length, 1);
});

Deno.test("HeartbeatMonitor counts a worker as lost that stays stopped", async () => {
  await using run = await startCoordinator({ count: 2, lostAfter: 8 });
  const { pid } = run.workers[1];
  Deno.kill(pid, "SIGSTOP");
  const error = await lostWorker(run.lost);
  assert.match(
    error.message,
    new RegExp(`^Rank 1 \\(pid ${pid} on .* has sent no heartbeat for \\d+ s`),
  );
  assert.equal(error.exit, undefined);
});

Deno.test("HeartbeatMonitor takes long synchronous work for what it is", async () => {
  await using run = await startCoordinator({ count: 1, lostAfter: 6 });
  await run.commands.callAll("block", 9_000);
  assert.equal(run.lost.aborted, false);
});

Deno.test("workers end by themselves when the coordinator is silent", async () => {
  await using run = await startCoordinator({ count: 2, lostAfter: 2 });
  run.monitor.close(); // its heartbeats stop, while the standard input stays open
  const exits = await within(
    Promise.all(run.workers.map(({ exited }) => exited)),
    PATIENCE_MS,
    () => new Error("workers still run"),
  );
  assert.deepEqual(exits.map(({ code }) => code), [4, 4]);
  assert.match(
    run.workers[0].lastLines.at(-1)!,
    /^Rank 0 has not heard from the coordinator for \d+ s$/,
  );
});

Deno.test("WorkerGroup.stop() leaves no process, whatever it takes", async () => {
  const run = await startCoordinator({ count: 2 });
  Deno.kill(run.workers[0].pid, "SIGSTOP");
  run.monitor.close();
  await withoutWaiting(60, () => run.group.stop(100));
  for (const { pid, exit } of run.workers) {
    assert.ok(exit);
    assert.ok(!await isRunning(pid));
  }
  assert.equal(run.workers[0].exit?.signal, "SIGKILL");
  await run[Symbol.asyncDispose]();
});

Deno.test("WorkerGroup.stop() waits for workers that leave by themselves", async () => {
  await using run = await startCoordinator({ count: 2 });
  run.monitor.close();
  await run.commands.callAll("leave");
  await run.group.stop(60_000);
  assert.deepEqual(run.workers.map(({ exit }) => [exit?.code, exit?.signal]), [[0, null], [
    0,
    null,
  ]]);
});

Deno.test("a server that is gone for good ends coordinator and workers after the deadline, not before", async () => {
  await using run = await startCoordinator({ count: 1, lostAfter: 6, reconnectTimeout: 10 });
  await run.commands.callAll("echo"); // the worker is all ears now
  await run.commands.callAll("echo"); // the worker has everything that it needs of the server
  const begin = performance.now();
  Deno.kill(run.rig.broker.pid, "SIGKILL");
  const signal = run.lost;
  const fired = new Promise((resolve) => signal.addEventListener("abort", resolve));
  await within(fired, PATIENCE_MS, () => new Error("not noticed"));
  assert.ok(performance.now() - begin > 9_900, "nobody counts as lost before");
  assert.equal(run.workers[0].exit, undefined);
  assert.match(
    signal.reason.message,
    /^The nats-server at 127\.0\.0\.1:\d+ has been gone for \d+ s: start it again, and go on with --resume \(nats\.reconnectTimeout says for how long a run waits\)$/,
  );
  assert.deepEqual(run.warnings, []);
});

Deno.test("nothing is left when the coordinator is killed", () =>
  withTemporaryFolder(async (folder) => {
    const folders = () =>
      Array.from(Deno.readDirSync(folder), ({ name }) => name)
        .filter((name) => name.startsWith("lockstep-nats-"));
    const program = new URL("../support/coordinator_program.ts", import.meta.url).pathname;
    const process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--allow-all", program],
      env: { TMPDIR: folder }, // other tests start servers at the same time
      stdout: "piped",
    }).spawn();
    const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const pids = JSON.parse((await reader.read()).value!) as number[];
    assert.equal(pids.length, 3);
    for (const pid of pids) assert.ok(await isRunning(pid));
    process.kill("SIGKILL");
    await process.status;
    await reader.cancel();
    const gone = async () => {
      for (const pid of pids) while (await isRunning(pid)) await delay(20);
    };
    await within(gone(), PATIENCE_MS, () => new Error("a process is left"));
    assert.deepEqual(folders(), []);
  }));

import type { ConfigInput } from "../../src/config/schema.ts";
import assert from "node:assert/strict";
import { join } from "node:path";
import { train } from "../../mod.ts";
import { wonAtLeastOnce } from "../support/at_once.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { makeImages } from "../support/images.ts";
import { interruptTwice } from "../support/interrupt_twice.ts";
import { allGone, descendantsOf, workersAmong } from "../support/processes.ts";
import {
  lastState,
  newestRun,
  runCommand,
  startTrain,
  tinyConfig,
  type TrainProcess,
} from "../support/tiny_run.ts";

const MANY_EPOCHS = 300;

/** A port of 127.0.0.1 that is free now. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

async function assertRefusesConnections(port: number): Promise<void> {
  await assert.rejects(
    Deno.connect({ hostname: "127.0.0.1", port }),
    Deno.errors.ConnectionRefused,
  );
}

/** Starts a long run of two workers and waits until it trains. */
async function longRun(
  folder: string,
  port = freePort(),
  more: Partial<ConfigInput> = {},
): Promise<TrainProcess> {
  const root = join(folder, "images");
  await makeImages(root);
  const run = await startTrain(
    folder,
    tinyConfig(root, {
      workers: 2,
      nats: { port },
      train: { epochs: MANY_EPOCHS },
      ...more,
    }),
  );
  await run.seen(/epoch +2\//);
  return run;
}

for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
  Deno.test(`${signal} ends a run with code ${code}, a checkpoint and nothing left behind`, () =>
    withTemporaryFolder(async (folder) => {
      const port = freePort();
      await using run = await longRun(folder, port);
      const started = await descendantsOf(run.pid);
      assert.ok(started.length >= 3, `two workers and a broker, found ${started.length}`);
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      run.kill(signal);
      const result = await run.result;
      assert.equal(result.code, code, result.stderr);
      await allGone(started);
      await assertRefusesConnections(port);
      const state = await lastState(await newestRun(join(folder, "runs")));
      assert.ok(state.epoch >= 2 && state.epoch < MANY_EPOCHS);
      assert.ok(state.model.every(Number.isFinite));
    }));
}

Deno.test("a second SIGINT ends a run at once, and leaves nothing behind", () =>
  withTemporaryFolder(async (folder) => {
    await wonAtLeastOnce(async () => {
      const port = freePort();
      await using run = await longRun(folder, port);
      const started = await descendantsOf(run.pid);
      const { code, wasAtOnce } = await interruptTwice(run, started);
      assert.equal(code, 130);
      await allGone(started);
      await assertRefusesConnections(port);
      const state = await lastState(await newestRun(join(folder, "runs")));
      assert.ok(state.model.every(Number.isFinite));
      return wasAtOnce;
    });
  }));

Deno.test("a run that was interrupted and resumed ends with the bits of one that never was", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const config = tinyConfig(root, { workers: 2, train: { epochs: 40, batchSize: 4 } });
    const whole = await train(config);
    await using run = await startTrain(folder, { ...config, name: "cut" });
    await run.seen(/epoch +3\//);
    run.kill("SIGINT");
    const { code } = await run.result;
    assert.equal(code, 130);
    const cut = await newestRun(join(folder, "runs"));
    const { epoch, step } = await lastState(cut);
    assert.ok(epoch < 40, `stopped in epoch ${epoch}, step ${step}`);
    const resumed = await runCommand(["train", "--resume", cut], folder);
    assert.equal(resumed.code, 0, resumed.stderr);
    assert.deepEqual((await lastState(cut)).sha256, (await lastState(whole.folder)).sha256);
    const history = JSON.parse(await Deno.readTextFile(join(cut, "history.json")));
    assert.deepEqual(
      history.epochs.map(({ epoch, train, validation }: typeof whole.history.epochs[0]) => ({
        epoch,
        train,
        validation,
      })),
      whole.history.epochs.map(({ epoch, train, validation }) => ({ epoch, train, validation })),
    );
    const again = await runCommand(["train", "--resume", cut], folder);
    assert.equal(again.code, 2);
    assert.match(again.stderr, /has finished its 40 epochs: nothing is left to resume/);
  }));

Deno.test("with onWorkerLost: fail, a worker killed with SIGKILL ends the run with its rank, pid and signal, and leaves nothing", () =>
  withTemporaryFolder(async (folder) => {
    await using run = await longRun(folder, undefined, { onWorkerLost: "fail" });
    const started = await descendantsOf(run.pid);
    const workers = await workersAmong(started);
    assert.equal(workers.length, 2);
    Deno.kill(workers[1], "SIGKILL");
    const { code, stderr } = await run.result;
    assert.equal(code, 1);
    assert.match(
      stderr,
      new RegExp(`Rank [01] \\(pid ${workers[1]}\\) was killed by SIGKILL`),
    );
    await allGone(started);
    const state = await lastState(await newestRun(join(folder, "runs")));
    assert.ok(state.model.every(Number.isFinite));
  }));

Deno.test("workers and broker end by themselves when the coordinator is killed", () =>
  withTemporaryFolder(async (folder) => {
    const port = freePort();
    await using run = await longRun(folder, port);
    const started = await descendantsOf(run.pid);
    run.kill("SIGKILL");
    await run.result;
    await allGone(started);
    await assertRefusesConnections(port);
  }));

import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { train } from "../../mod.ts";
import { delay } from "../../src/base/async.ts";
import { readEvents } from "../../src/records/event_log.ts";
import { makeImages } from "../support/images.ts";
import { JUMPING, otherClock } from "../support/other_clock.ts";
import { descendantsOf } from "../support/processes.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import {
  commandLine,
  lastState,
  newestRun,
  startCommand,
  startProcess,
  tinyConfig,
} from "../support/tiny_run.ts";

const LIMITS = { lostAfter: 15, reportAfter: 15 };
const DAY_MS = 86_400_000;

Deno.test("a wall clock that jumps by days, and a machine that is suspended for longer than all limits, change nothing in a run", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const config = tinyConfig(root, {
      workers: 2,
      exchange: "nats",
      liveness: LIMITS,
      train: { epochs: 30, batchSize: 4 },
    });
    const [whole] = await Promise.all([
      train(config, { folder: join(folder, "whole") }),
      trainWithJumpingClock(join(folder, "jumping"), config),
      trainSuspended(join(folder, "suspended"), config),
    ]);
    const expected = await lastState(whole.folder);
    for (const name of ["jumping", "suspended"]) {
      const run = await newestRun(join(folder, name)).catch(() => undefined);
      if (run) assert.deepEqual((await lastState(run)).sha256, expected.sha256, name);
    }
  }));

async function trainWithJumpingClock(
  out: string,
  config: ReturnType<typeof tinyConfig>,
): Promise<void> {
  await Deno.mkdir(out);
  const env = await otherClock(out, JUMPING);
  if (!env) return;
  const path = join(out, "config.yaml");
  await Deno.writeTextFile(path, stringify({ ...config, out }));
  await using run = startCommand(["train", "--config", path], out, env);
  const { code, stdout, stderr } = await run.result;
  assert.equal(code, 0, stdout + stderr);
  assert.doesNotMatch(stderr, /heartbeat|progress|stands still|silent/);
  const times = (await readEvents(await newestRun(out))).map(({ time }) => Date.parse(time));
  const jumps = times.slice(1).filter((time, index) => Math.abs(time - times[index]) > DAY_MS);
  assert.ok(jumps.length > 0, "the clock of the run has jumped");
}

async function trainSuspended(out: string, config: ReturnType<typeof tinyConfig>): Promise<void> {
  await Deno.mkdir(out);
  const path = join(out, "config.yaml");
  await Deno.writeTextFile(path, stringify({ ...config, out }));
  await using run = startProcess(commandLine(["train", "--config", path]), { cwd: out });
  await run.seen(/epoch +2\//);
  const pids = [run.pid, ...await descendantsOf(run.pid)];
  const send = (signal: Deno.Signal) => {
    for (const pid of pids) {
      try {
        Deno.kill(pid, signal);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error; // a helper that had ended
      }
    }
  };
  send("SIGSTOP");
  await delay(1000 * (LIMITS.lostAfter + 5));
  send("SIGCONT");
  const { code, stdout, stderr } = await run.result;
  assert.equal(code, 0, stdout + stderr);
  assert.doesNotMatch(stderr, /lost|made no progress|stood still/);
}

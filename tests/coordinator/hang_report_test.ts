import assert from "node:assert/strict";
import { join } from "node:path";
import { delay } from "../../src/base/async.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { eventually } from "../support/eventually.ts";
import { descendantsOf, isRunning, workersAmong } from "../support/processes.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { newestRun, startTrain, type TrainProcess } from "../support/tiny_run.ts";
import { moduleConfig, writeModules } from "../support/user_modules.ts";

/** An epoch that goes on for longer than any test. */
const DATA = `
const image = { width: 12, height: 12, data: new Uint8Array(144) };
const sample = (index) => ({ image, label: index % 2 });
export const createDataset = () => ({
  classes: ["a", "b"], train: { length: 1_000_000, sample }, val: { length: 8, sample },
});
`;

/** Trains with 2 workers, whose pids `work` gets, by rank, once some steps are done. */
async function training(
  exchange: ConfigInput["exchange"],
  work: (run: TrainProcess, workers: number[], runFolder: string) => Promise<void>,
): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    await writeModules(folder, { data: DATA });
    const config = {
      ...moduleConfig(folder, { workers: 2, train: { logEverySteps: 10 } }),
      exchange,
      liveness: { lostAfter: 60, reportAfter: 2 },
    };
    await using run = await startTrain(folder, { ...config, out: join(folder, "runs") });
    const runs = join(folder, "runs");
    await eventually(async () => {
      const metrics = await newestRun(runs)
        .then((newest) => Deno.readTextFile(join(newest, "metrics.jsonl")))
        .catch(() => assert.fail("no steps yet"));
      assert.ok(metrics.split("\n").length > 3);
    });
    const workers = await workersAmong(await descendantsOf(run.pid));
    assert.equal(workers.length, 2);
    try {
      await work(run, workers.sort((a, b) => a - b), await newestRun(runs));
    } finally {
      for (const pid of [...workers, run.pid]) {
        if (await isRunning(pid)) Deno.kill(pid, "SIGCONT");
      }
    }
    run.kill("SIGINT");
    assert.equal((await run.result).code, 130);
  });
}

const REPORT =
  /Rank 1 \(pid (\d+) on .*\) has made no progress for \d+ s: it (?:is|was) .* in epoch 1, step \d+.*; rank 0 waits for it in epoch 1, step \d+/;

Deno.test("a job that is stopped and continued isn't reported, a rank or coordinator that stands still is", () =>
  training("shared-memory", async (run, workers, folder) => {
    const all = [run.pid, ...workers];
    const before = run.output().length; // a slow start may have been reported
    for (const pid of all) Deno.kill(pid, "SIGSTOP");
    await delay(4_000);
    for (const pid of all) Deno.kill(pid, "SIGCONT");
    await delay(1_500);
    assert.doesNotMatch(run.output().slice(before), /no progress|wait for|waits for/);

    Deno.kill(run.pid, "SIGSTOP");
    await delay(12_000); // longer than three of the pauses so far
    Deno.kill(run.pid, "SIGCONT");
    // The ranks make that report, whose lines are in the log.
    await eventually(async () => {
      assert.match(
        await Deno.readTextFile(join(folder, "run.log")),
        /\[rank 0\] Ranks 0 and 1 wait for the coordinator in epoch 1, step \d+, for \d+ s/,
      );
    });

    Deno.kill(workers[1], "SIGSTOP");
    await run.seen(REPORT);
    const [, pid] = REPORT.exec(run.output())!;
    assert.equal(Number(pid), workers[1]);
    Deno.kill(workers[1], "SIGCONT");
    const log = await Deno.readTextFile(join(folder, "run.log"));
    assert.match(log, REPORT);
    assert.match(await Deno.readTextFile(join(folder, "events.jsonl")), REPORT);
  }));

Deno.test("over NATS, too, the rank that stands still is reported, and who waits for it", () =>
  training("nats", async (run, workers) => {
    Deno.kill(workers[1], "SIGSTOP");
    await run.seen(REPORT);
  }));

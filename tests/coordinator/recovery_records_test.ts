import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { FAULT_VARIABLE } from "../../src/base/fault_point.ts";
import { readEvents } from "../../src/records/event_log.ts";
import { readHistory } from "../../src/records/history.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { newestRun, runCommand, tinyConfig } from "../support/tiny_run.ts";

const CLASSES = ["dark", "light", "middle"];
const IMAGES = 7;

for (const policy of ["restart", "shrink"] as const) {
  Deno.test(`a rank that dies after it has reported skipped images is recovered from by ${policy}: each image is on record once, and all records tell the loss`, () =>
    withTemporaryFolder(async (folder) => {
      const root = join(folder, "images");
      await makeImages(root, { classes: CLASSES, train: IMAGES });
      const broken = CLASSES.flatMap((name) =>
        Array.from({ length: IMAGES - 1 }, (_, index) => `train/${name}/${index}.jpg`)
      );
      // Of any four images of a rank's share at least one is broken.
      for (const path of broken) await Deno.writeTextFile(join(root, path), "no image ".repeat(40));
      const config = tinyConfig(root, { workers: 2, train: { epochs: 1 } });
      const recipe = {
        ...config,
        data: { ...config.data!, onError: "skip" },
        onWorkerLost: policy,
      };
      const path = join(folder, "config.yaml");
      await Deno.writeTextFile(path, stringify(recipe));
      const env = { [FAULT_VARIABLE]: "record:1:1" };
      const { code, stdout, stderr } = await runCommand(["train", "--config", path], folder, env);
      assert.equal(code, 0, stdout + stderr);

      const run = await newestRun(join(folder, "runs"));
      const events = await readEvents(run);
      const skipped = events.filter(({ type }) => type === "skipped").map(({ path }) => path);
      assert.deepEqual(skipped.toSorted(), broken);
      assert.doesNotMatch(stderr, /again, named before/, "none is counted twice");

      const [lost, recovery] = events.filter(({ type }) => /workersLost|recovery/.test(type));
      const [{ rank, pid, reason }] = lost.workers as {
        rank: number;
        pid: number;
        reason: string;
      }[];
      assert.deepEqual([lost.during, lost.epoch, lost.step, rank], ["training", 1, 1, 1]);
      assert.match(reason, new RegExp(`^Rank 1 \\(pid ${pid}\\) was killed by SIGKILL`));
      const workers = policy === "restart" ? 2 : 1;
      assert.deepEqual(
        [recovery.policy, recovery.epoch, recovery.step, recovery.ranks, recovery.workers],
        [policy, 1, 1, [1], workers],
      );
      const { recoveries } = await readHistory(run);
      const { time: _, type: __, generation: ___, restarts: ____, ...facts } = recovery;
      assert.deepEqual(recoveries!.map(({ time: _, ...record }) => record), [
        { ...facts, reasons: [reason] },
      ]);

      const said = policy === "restart"
        ? "rank 1 was started again"
        : "without rank 1, with 1 worker";
      assert.match(stderr, /Warning: Lost a worker: Rank 1 \(pid \d+\) was killed by SIGKILL/);
      assert.match(stdout, new RegExp(`Recovered in [\\d.]+ s: .*${said}`));
      const log = await Deno.readTextFile(join(run, "run.log"));
      assert.match(log, /Z warning Lost a worker: Rank 1 [^]*Z info Recovered in /);
      const report = await Deno.readTextFile(join(run, "report.html"));
      assert.match(report, /id="incidents"[^]*was killed by SIGKILL/);
    }));
}

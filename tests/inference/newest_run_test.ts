import assert from "node:assert/strict";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { pointLatest } from "../../src/records/run_folder.ts";
import { writeCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { findNewestRun } from "../../src/inference/newest_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const FACTS = {
  model: { name: "plain_cnn", numClasses: 2 },
  classes: ["a", "b"],
  epoch: 1,
  step: 1,
  globalBatch: 2,
  optimizerSteps: 1,
  train: { lossSum: 1, weight: 2, correct: 1, count: 2 },
  seconds: 1,
  fingerprint: "made",
};
const MODEL = new Map([["fc.bias", {
  dtype: "float32" as const,
  shape: [1],
  data: new Uint8Array(4),
}]]);

/** A run folder with a config and some checkpoints. */
async function makeRun(runs: string, name: string, ...checkpoints: string[]): Promise<string> {
  const run = join(runs, name);
  await Deno.mkdir(run, { recursive: true });
  await Deno.writeTextFile(join(run, "config.yaml"), "seed: 1\n");
  for (const each of checkpoints) {
    await writeCheckpoint(join(run, "checkpoints"), each, FACTS, { model: MODEL });
  }
  return run;
}

Deno.test("findNewestRun() takes the newest run with the checkpoint, and says why newer ones were left out", async () => {
  await withTemporaryFolder(async (runs) => {
    await assert.rejects(
      findNewestRun("best", join(runs, "none")),
      (error: Error) =>
        error instanceof UsageError &&
        /^There is no run with a best checkpoint in .*none; train one with ".*deno task train", or name one with --run$/
          .test(error.message),
    );
    const old = await makeRun(runs, "20260101-100000-old", "best", "last");
    const same = await makeRun(runs, "20260101-100000-old-2", "best");
    assert.deepEqual(await findNewestRun("best", runs), {
      run: same,
      note: `Run: ${same}, the newest with a best checkpoint`,
    });
    await makeRun(runs, "20260102-100000-unfinished", "last");
    await Deno.mkdir(join(runs, "20260103-100000-empty"));
    const going = await makeRun(runs, "20260104-100000-going", "best", "last");
    const status = {
      ...{
        time: new Date().toISOString(),
        pid: 1,
        residentBytes: 1,
        since: new Date().toISOString(),
      },
      ...{ phase: "train", epoch: 1, epochs: 2, stepsPerEpoch: 3, total: 4, done: 1 },
      ...{ workers: [], gpus: [] },
    };
    await Deno.writeTextFile(join(going, "live.json"), JSON.stringify(status));
    const broken = await makeRun(runs, "20260105-100000-broken", "best", "last");
    const file = join(
      await Deno.realPath(join(broken, "checkpoints", "best")),
      "model.safetensors",
    );
    await Deno.truncate(file, 20);
    await Deno.mkdir(join(runs, "20260106-100000-compare", "variants"), { recursive: true });
    await Deno.writeTextFile(join(runs, "notes.txt"), "");
    await pointLatest(runs, going);

    const { run, note } = await findNewestRun("best", runs);
    assert.equal(run, same);
    assert.match(
      note,
      new RegExp(
        "; newer ones were left out: 20260105-100000-broken has a damaged one \\(.*cut short or altered.*\\), " +
          "20260104-100000-going is going on, 20260103-100000-empty is empty, " +
          "20260102-100000-unfinished has no best checkpoint$",
      ),
    );
    assert.equal((await findNewestRun("last", runs)).run, broken);
    await Deno.writeTextFile(join(old, "history.json"), "{}");
    assert.equal((await findNewestRun("history", runs)).run, old);

    // A folder of one's own name is as new as its config.
    const own = await makeRun(runs, "mine", "best");
    assert.equal((await findNewestRun("best", runs)).run, own);
    await Deno.utime(join(own, "config.yaml"), new Date("2025-01-01"), new Date("2025-01-01"));
    assert.equal((await findNewestRun("best", runs)).run, same);
  });
});

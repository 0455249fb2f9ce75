import assert from "node:assert/strict";
import { join } from "node:path";
import { train } from "../../mod.ts";
import { readHistory } from "../../src/records/history.ts";
import { BestEffort } from "../../src/events/best_effort.ts";
import { silentReporter } from "../../src/events/reporter.ts";
import { readCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { tinyConfig } from "../support/tiny_run.ts";

Deno.test("BestEffort tells of each failure once, and survives a listener that fails too", async () => {
  const lines: string[] = [];
  const effort = new BestEffort((line) => lines.push(line));
  const full = () => Promise.reject(new Error("No space left on device (os error 28)"));
  assert.equal(await effort.attempt("a.png", () => 5), 5);
  for (let turn = 0; turn < 3; turn++) assert.equal(await effort.attempt("a.png", full), undefined);
  effort.attemptNow("b.jsonl", () => {
    throw new RangeError("Invalid string length");
  });
  assert.deepEqual(lines, [
    "a.png couldn't be written: The disk is full; free space there, or name another folder; the run goes on without it",
    "b.jsonl couldn't be written: Invalid string length; the run goes on without it",
  ]);
  const mute = new BestEffort(() => {
    throw new Error("the log is full too");
  });
  await mute.attempt("a.png", full);
});

/** Artefacts of a run, none of which may end it. */
const ARTEFACTS = [
  "batch.png",
  "curves.svg",
  "environment.json",
  "events.jsonl",
  "history.csv",
  "losses.csv",
  "losses.svg",
  "metrics.jsonl",
  "predictions.csv",
  "predictions.png",
  "report.html",
  "run.log",
];

Deno.test("no image, log or report ends a run: each that can't be written is a warning", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const run = join(folder, "run");
    // A folder in the place of the file: neither opened nor replaced.
    for (const name of ARTEFACTS) {
      await Deno.mkdir(join(run, name, "in the way"), { recursive: true });
    }
    await Deno.writeTextFile(join(run, "tensorboard"), "");
    const warnings: string[] = [];
    const reporter = { ...silentReporter(), warn: (line: string) => void warnings.push(line) };
    const { history } = await train(tinyConfig(root), { folder: run, reporter });
    assert.equal(history.epochs.length, 2);
    assert.deepEqual((await readHistory(run)).epochs, history.epochs);
    assert.equal((await readCheckpoint(join(run, "checkpoints", "last"))).info.epoch, 2);
    for (const name of [...ARTEFACTS, "TensorBoard"]) {
      const reported = name === "report.html"
        ? "The report"
        : name === "metrics.jsonl"
        ? "metrics"
        : name;
      const own = warnings.filter((line) => line.includes(reported));
      assert.ok(
        own.length >= 1 && own.length <= 2,
        `${name}: ${own.length} in ${warnings.join("\n")}`,
      );
    }
    assert.ok(warnings.every((line) => !line.includes("\n")), warnings.join("\n"));

    const longer = tinyConfig(root, { train: { epochs: 3 } });
    const resumed = await train(longer, { resume: run, reporter });
    assert.equal(resumed.history.epochs.length, 3, "a log that can't be read ends no resume");
    assert.equal((await readCheckpoint(join(run, "checkpoints", "last"))).info.epoch, 3);
    const again = await train(longer, { resume: run, reporter });
    assert.equal(again.history.epochs.length, 3, "the end that no log has told of is completed");
  }));

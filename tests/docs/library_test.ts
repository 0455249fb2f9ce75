import assert from "node:assert/strict";
import { join } from "node:path";
import { PROJECT_ROOT } from "../../scripts/files.ts";
import { readHistory } from "../../src/records/history.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { newestRun, runCommand } from "../support/tiny_run.ts";
import { runDeno } from "../support/run_deno.ts";

const EXAMPLES = join(PROJECT_ROOT, "docs", "examples");

/** Shown files: a link to one, and the block of code behind it. */
const SHOWN = /\]\(examples\/([\w.]+)\)[^`]*?```(?:ts|yaml)(?: ignore)?\n(.*?)```/gs;

Deno.test("docs/library.md shows the examples as they are", async () => {
  const page = await Deno.readTextFile(join(PROJECT_ROOT, "docs", "library.md"));
  const shown = new Map(Array.from(page.matchAll(SHOWN), ([, name, code]) => [name, code]));
  const files = (await Array.fromAsync(Deno.readDir(EXAMPLES))).map(({ name }) => name).sort();
  assert.deepEqual([...shown.keys()].sort(), files);
  for (const name of files) {
    assert.equal(shown.get(name), await Deno.readTextFile(join(EXAMPLES, name)), name);
  }
});

Deno.test("docs/examples/train.ts trains by two workers and loads what it has trained", () =>
  withTemporaryFolder(async (folder) => {
    const { code, stdout, stderr } = await runDeno([
      ...["run", "--quiet", "--allow-all", "--config", join(PROJECT_ROOT, "deno.json")],
      join(EXAMPLES, "train.ts"),
    ], { cwd: folder });
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /runs\/\S+-bars: standing or lying, 5154 parameters/);
    const history = await readHistory(await newestRun(join(folder, "runs")));
    assert.equal(history.workers, 2);
    assert.ok(history.best.accuracy > 0.9, `it learns: ${history.best.accuracy}`);
    assert.deepEqual(Object.keys(history.epochs[0].metrics!), ["certainty", "lyingRecall"]);
    assert.match(stdout, new RegExp(`${history.epochs.length} epochs`));
  }));

Deno.test("docs/examples/train.yaml trains from the command line, on the stream too", () =>
  withTemporaryFolder(async (folder) => {
    const stream = join(EXAMPLES, "stream.ts");
    const { code, stdout, stderr } = await runCommand([
      "train",
      "--config",
      join(EXAMPLES, "train.yaml"),
      "--set",
      `data.module=${stream}`,
      "--set",
      "train.epochs=2",
      "--set",
      "liveness.lostAfter=60",
    ], folder);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /epoch 2\/2 .* certainty 0\.\d+ {2}lyingRecall/);
    const run = await newestRun(join(folder, "runs"));
    const checkpoints = await Array.fromAsync(Deno.readDir(join(run, "checkpoints")));
    assert.ok(checkpoints.some(({ name }) => name === "epoch-2"));
  }));

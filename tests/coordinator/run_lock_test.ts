import assert from "node:assert/strict";
import { join } from "node:path";
import { exists } from "../../src/base/paths.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import {
  newestRun,
  runCommand,
  startCommand,
  startTrain,
  tinyConfig,
} from "../support/tiny_run.ts";

Deno.test("a run that goes on is refused to others by its pid, and goes on; killed, it is resumed by one", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const first = await startTrain(folder, tinyConfig(root, { train: { epochs: 300 } }));
    await first.seen(/epoch +2\//);
    const run = await newestRun(join(folder, "runs"));
    const refused = await runCommand(["train", "--resume", run], folder);
    assert.equal(refused.code, 2, refused.stderr);
    assert.match(
      refused.stderr,
      new RegExp(`error: Run ${run} is in use by the process with pid ${first.pid} on `),
    );
    await first.seen(/epoch +4\//);
    first.kill("SIGKILL");
    await first.result;

    const temporaries = [join(run, "curves.png.1234.tmp"), join(run, "checkpoints", "x.1.tmp")];
    for (const path of temporaries) await Deno.writeTextFile(path, "half");
    const resumed = ["a", "b"].map(() => startCommand(["train", "--resume", run], folder));
    const pids = resumed.map(({ pid }) => pid);
    const loser = await Promise.race(
      resumed.map(async ({ result }, at) => ({ ...await result, at })),
    );
    assert.equal(loser.code, 2, loser.stderr);
    assert.match(
      loser.stderr,
      new RegExp(`in use by the process with pid ${pids[1 - loser.at]} on `),
    );
    const winner = resumed[1 - loser.at];
    await winner.seen(/epoch +\d+\//);
    for (const path of temporaries) assert.equal(await exists(path), false, path);
    winner.kill("SIGINT");
    assert.equal((await winner.result).code, 130);
    assert.equal(await exists(join(run, ".lock")), false);
  }));

Deno.test("two evaluations at once don't share a folder", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    await using run = await startTrain(folder, tinyConfig(root, { train: { epochs: 1 } }));
    assert.equal((await run.result).code, 0);
    const args = ["evaluate", "--run", await newestRun(join(folder, "runs"))];
    const results = await Promise.all([runCommand(args, folder), runCommand(args, folder)]);
    assert.deepEqual(results.map(({ code }) => code).sort(), [0, 2], results[0].stderr);
    const { stderr } = results.find(({ code }) => code === 2)!;
    assert.match(
      stderr,
      /error: The evaluation folder .* is in use by the process with pid \d+ on /,
    );
    assert.match(stderr, /name another folder with --out/);
  }));

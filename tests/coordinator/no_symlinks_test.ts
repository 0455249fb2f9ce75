import assert from "node:assert/strict";
import { join } from "node:path";
import { exists } from "../../src/base/paths.ts";
import { followPointers } from "../../src/base/pointer.ts";
import { withoutSymlinks } from "../support/no_symlinks.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState, runCommand, startTrain, tinyConfig } from "../support/tiny_run.ts";

Deno.test("a run is trained, resumed, evaluated and copied without symbolic links", () =>
  withTemporaryFolder(async (folder) => {
    const env = await withoutSymlinks(folder);
    if (!env) return;
    const root = join(folder, "images");
    await makeImages(root);
    const config = tinyConfig(root, { train: { epochs: 2 } });
    const path = join(folder, "config.yaml");
    await (await startTrain(folder, config, ["--help"])).result; // writes the config
    const trained = await runCommand(["train", "--config", path], folder, env);
    assert.equal(trained.code, 0, trained.stderr);
    const latest = join(folder, "runs", "latest");
    assert.ok((await Deno.lstat(latest)).isFile);
    const run = await followPointers(latest);
    const checkpoints = join(run, "checkpoints");
    for (const name of ["best", "last", "last-1"]) {
      assert.ok((await Deno.lstat(join(checkpoints, name))).isFile, name);
    }
    assert.equal((await lastState(run)).epoch, 2);

    await Deno.mkdir(join(checkpoints, "best@keep"));
    const more = ["train", "--resume", "runs/latest"];
    const over = await runCommand(more, folder, env);
    assert.match(over.stderr, /has finished its 2 epochs/);
    const evaluated = await runCommand(["evaluate", "--run", "runs/latest"], folder, env);
    assert.equal(evaluated.code, 0, evaluated.stderr);
    assert.ok(await exists(join(run, "evaluation", "evaluation.json")));
    assert.ok(await exists(join(checkpoints, "best@keep")));
  }));

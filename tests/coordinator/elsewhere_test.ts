/**
 * Runs that go on, are measured and used from other working directories than the one in which they began.
 *
 * @module
 */
import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { parse, stringify } from "@std/yaml";
import { exists } from "../../src/base/paths.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { newestRun, runCommand, tinyConfig } from "../support/tiny_run.ts";
import { denoCache } from "../support/other_project.ts";

/** Runs a command that must succeed. */
async function run(cwd: string, args: string[], env: Record<string, string> = {}): Promise<string> {
  const { code, stdout, stderr } = await runCommand(args, cwd, env);
  assert.equal(code, 0, stdout + stderr);
  return stdout;
}

/** Two folders to stand in, photos, and a recipe without a name that finds them from its own folder. */
async function makePlaces(folder: string) {
  const [here, there, recipes] = ["here", "there", "my recipes"].map((name) => join(folder, name));
  for (const path of [here, there, recipes]) await Deno.mkdir(path);
  const root = join(folder, "My photos 図");
  await makeImages(root, { train: 4, val: 2 });
  const { name: _, ...config } = tinyConfig(`../${basename(root)}`, {
    out: "../my runs",
    train: { epochs: 1 },
  });
  const recipe = join(recipes, "recipe.yaml");
  await Deno.writeTextFile(recipe, stringify(config));
  return { here, there, root, recipe };
}

Deno.test("a run goes on, is evaluated, used and exported from elsewhere, though the folder it began in is gone", () =>
  withTemporaryFolder(async (folder) => {
    const { here, there, root } = await makePlaces(folder);
    await run(here, ["train", "--config", "../my recipes/recipe.yaml"]);
    await Deno.remove(here, { recursive: true });
    const made = await newestRun(join(folder, "my runs"));
    assert.match(basename(made), /^\d{8}-\d{6}-My-photos-図$/);
    const read = async () => parse(await Deno.readTextFile(join(made, "config.yaml")));
    const { name, out, data } = await read();
    assert.deepEqual([name, out, data.root], ["My photos 図", join(folder, "my runs"), root]);
    const { config } = JSON.parse(await Deno.readTextFile(join(made, "history.json")));
    assert.equal(config.name, "My photos 図");
    const report = await Deno.readTextFile(join(made, "report.html"));
    assert.ok(report.includes("<title>My photos 図"), report.slice(0, 500));

    const resume = ["train", "--resume", "../my runs/latest", "--set", "train.epochs=2"];
    assert.match(await run(there, resume), /^epoch 2\/2/m);
    assert.equal((await read()).data.root, root);
    const env = {
      HOME: folder,
      DENO_DIR: Deno.env.get("DENO_DIR") ?? "",
      LOCKSTEP_CACHE: await cache(),
    };
    if (env.DENO_DIR === "") env.DENO_DIR = await denoCache();
    await run(there, ["evaluate", "--run=~/my runs/latest"], env);
    const predicted = await run(there, [
      "predict",
      "-r",
      "~/my runs/latest",
      "~/My photos 図/val/*/0.jpg",
    ], env);
    assert.equal(predicted.match(/0\.jpg/g)?.length, 3, predicted);
    await run(there, ["export", "--run", made, "--out", "~/exported"], env);
    assert.ok(
      await exists(join(folder, "exported", "README.md")) || await exists(join(folder, "exported")),
    );
  }));

Deno.test("paths that are typed count from where the user stands, over a recipe elsewhere", () =>
  withTemporaryFolder(async (folder) => {
    const { there, recipe } = await makePlaces(folder);
    const typed = join(there, "own photos");
    await makeImages(typed, { train: 4, val: 2 });
    const stdout = await run(there, [
      "train",
      "--config",
      recipe,
      "--set",
      "data.root=own photos/",
      "--out",
      "own runs",
    ]);
    const made = await newestRun(join(there, "own runs"));
    assert.match(basename(made), /-own-photos$/);
    const shown = /^Run folder: (.*)$/m.exec(stdout)?.[1];
    assert.equal(shown, `own runs/${basename(made)}`);
    const { out, data } = parse(await Deno.readTextFile(join(made, "config.yaml")));
    assert.deepEqual([out, data.root], [join(there, "own runs"), typed]);
  }));

Deno.test("an older run, whose config has relative paths, goes on from the working directory that it had, and says so", () =>
  withTemporaryFolder(async (folder) => {
    const { there, recipe, root } = await makePlaces(folder);
    await run(there, ["train", "--config", recipe, "--set", "train.epochs=2"]);
    const made = await newestRun(join(folder, "my runs"));
    const age = async (path: string) => {
      const text = await Deno.readTextFile(path);
      const old = text.replaceAll(root, basename(root)).replaceAll(`${folder}/my runs`, "my runs");
      assert.notEqual(old, text);
      await Deno.writeTextFile(path, old);
    };
    await age(join(made, "config.yaml"));
    const resume = ["train", "--resume", "my runs/latest", "--from", "last-1"];
    const stdout = await run(folder, resume);
    assert.match(
      stdout,
      /config\.yaml is of a version that kept paths as they were typed: data\.root \(My photos 図\)/,
    );
    assert.equal(parse(await Deno.readTextFile(join(made, "config.yaml"))).data.root, root);
  }));

async function cache(): Promise<string> {
  return (await import("../../src/base/paths.ts")).cacheFolder();
}

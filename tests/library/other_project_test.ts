/**
 * This library in a project of somebody else's: imported by a path, by a link, by an address.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { parse, stringify } from "@std/yaml";
import { PROJECT_ROOT } from "../../scripts/files.ts";
import project from "../../deno.json" with { type: "json" };
import { readHistory } from "../../src/records/history.ts";
import { makeImages, transformsFor } from "../support/images.ts";
import { type OtherProject, withOtherProject } from "../support/other_project.ts";
import { serveRepository } from "../support/served_files.ts";
import { newestRun } from "../support/tiny_run.ts";

/** A program and its modules, one of which imports by a name that only this project's deno.json knows. */
const FILES = {
  "sizes.ts": "export const FILTERS = 4;\n",
  "model.ts": `import { FILTERS } from "sizes";
import type { CreateUserModel } from "@lockstep/lockstep";
export const createModel: CreateUserModel = ({ inputShape, numClasses }, tf) =>
  tf.sequential({
    layers: [
      tf.layers.conv2d({ inputShape: [...inputShape], filters: FILTERS, kernelSize: 3 }),
      tf.layers.globalAveragePooling2d({}),
      tf.layers.dense({ units: numClasses }),
    ],
  });
`,
  "data.ts": await Deno.readTextFile(join(PROJECT_ROOT, "docs", "examples", "data.ts")),
  "main.ts": `import { terminalReporter, train } from "@lockstep/lockstep";
const transforms = [{ CenterCrop: 24 }, { Normalize: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] } }];
const { folder, history, loadBest } = await train({
  name: "bars",
  workers: 2,
  model: { module: import.meta.resolve("./model.ts") },
  data: { module: import.meta.resolve("./data.ts"), train: transforms, val: transforms },
  train: { epochs: 1, batchSize: 16, lr: 0.02 },
}, { reporter: terminalReporter({ verbose: false }) });
const { model, classes } = await loadBest();
console.log(history.epochs.length, "epoch", model.countParams(), "parameters", classes.join());
`,
};

/** A comparison, whose runs are processes with workers of their own. */
const COMPARISON = `import { compare } from "@lockstep/lockstep";
const transforms = [{ CenterCrop: 24 }, { Normalize: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] } }];
const { comparison } = await compare({
  Small: {
    name: "bars",
    workers: 1,
    model: { module: import.meta.resolve("./model.ts") },
    data: { module: import.meta.resolve("./data.ts"), train: transforms, val: transforms },
    train: { epochs: 1, batchSize: 16, lr: 0.02 },
  },
});
console.log(comparison.variants[0].runs[0].status, comparison.variants[0].runs[0].message);
`;

const NAME = project.name;
const IMPORTS = { sizes: "./sizes.ts" };

/** Checks that a run's pages, plots and checkpoints found everything that they are made of. */
async function checkRun({ folder }: OtherProject): Promise<void> {
  const run = await newestRun(join(folder, "runs"));
  const history = await readHistory(run);
  assert.equal(history.workers, 2);
  const { seed, train } = parse(await Deno.readTextFile(join(run, "config.yaml")));
  assert.deepEqual([seed, train.lr, train.optimizer], [0, 0.02, "sgd"], "defaults are filled in");
  const report = await Deno.readTextFile(join(run, "report.html"));
  assert.match(report, /uPlot=function|var uPlot/, "the chart library");
  assert.match(report, /MIT License/, "and its licence");
  assert.match(report, /--accent|prefers-color-scheme/, "the theme");
  assert.match(report, new RegExp(`Written by Lockstep ${project.version} `));
  assert.doesNotMatch(await Deno.readTextFile(join(run, "run.log")), /warning/i);
  for (const name of ["predictions.png", "batch.png", "curves.png", "losses.png"]) {
    assert.ok((await Deno.stat(join(run, name))).size > 1_000, name);
  }
}

function assertTrained({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) {
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /1 epoch 122 parameters standing,lying/);
}

Deno.test("a project imports the library by a path", () =>
  withOtherProject(
    { imports: { ...IMPORTS, [NAME]: join(PROJECT_ROOT, "mod.ts") } },
    { ...FILES, "compare.ts": COMPARISON },
    async (other) => {
      assertTrained(await other.deno("run", "--allow-all", "main.ts"));
      await checkRun(other);
      const { stdout, stderr } = await other.deno("run", "--allow-all", "compare.ts");
      assert.match(stdout, /^finished/m, stderr);
    },
  ));

Deno.test("a project imports the library by links", () =>
  withOtherProject(
    { links: [PROJECT_ROOT], imports: { ...IMPORTS, [NAME]: `jsr:${NAME}@^${project.version}` } },
    FILES,
    async (other) => {
      assertTrained(await other.deno("run", "--allow-all", "main.ts"));
      await checkRun(other);
    },
  ));

Deno.test("a project imports the library by an address, and needs the address only to fetch it", async () => {
  await using server = serveRepository();
  await withOtherProject(
    { imports: { ...IMPORTS, [NAME]: `${server.url}mod.ts` } },
    FILES,
    async (other) => {
      const { code, stderr } = await other.deno("cache", "--allow-import", "main.ts");
      assert.equal(code, 0, stderr);
      await server.close();
      // Nothing is left to be fetched, and nothing to be added to the lock file: not by a worker either.
      assertTrained(await other.deno("run", "--allow-all", "--cached-only", "--frozen", "main.ts"));
      await checkRun(other);
    },
  );
});

/** A recipe of the command line for images that are small and made. */
const RECIPE = {
  name: "tiny",
  workers: 2,
  model: { name: "plain_cnn", weights: "none" },
  data: { train: transformsFor(20), val: transformsFor(20) },
  train: { epochs: 1, batchSize: 8 },
};

/** Runs the commands that a project needs first. */
async function checkCommands({ deno, folder }: OtherProject, cli: string): Promise<void> {
  const run = (...args: string[]) => deno("run", "--allow-all", "--quiet", cli, ...args);
  await makeImages(join(folder, "photos"));
  const help = await run("--help");
  assert.match(help.stdout, new RegExp(`^Lockstep ${project.version}: `), help.stderr);
  const models = await run("models", "alexnet");
  assert.match(models.stdout, /alexnet/, models.stderr);
  const train = await run("train", "--config", "tiny.yaml", "--set", "data.root=photos");
  assert.equal(train.code, 0, train.stdout + train.stderr);
  assert.match(train.stdout, /epoch 1\/1 /);
  const { lockstep } = JSON.parse(
    await Deno.readTextFile(join(folder, "runs", "latest", "environment.json")),
  );
  assert.equal(lockstep.version, project.version);
  const predict = await run("predict", "--run", "runs/latest", "--json", "photos");
  assert.equal(predict.code, 0, predict.stdout + predict.stderr);
  assert.ok(predict.stdout.trim().split("\n").length >= 4, predict.stdout);
  const batch = await run("show-batch", "--set", "data.root=photos", "--out", "batch.png");
  assert.equal(batch.code, 0, batch.stdout + batch.stderr); // by the default recipe
}

const RECIPES = { "tiny.yaml": stringify(RECIPE) };

Deno.test("the commands work from another project, by a path", () =>
  withOtherProject({}, RECIPES, async (other) => {
    await checkCommands(other, join(PROJECT_ROOT, "src", "cli.ts"));
  }));

Deno.test("the commands work from another project, by an address", async () => {
  await using server = serveRepository();
  await withOtherProject({}, RECIPES, async (other) => {
    const cli = `${server.url}src/cli.ts`;
    await checkCommands(other, cli);
    // What else is made of files of the source: the page of an export, and the processes of a check.
    const { deno, folder } = other;
    const run = (...args: string[]) => deno("run", "--allow-all", "--quiet", cli, ...args);
    const exported = await run("export", "--run", "runs/latest");
    assert.equal(exported.code, 0, exported.stderr);
    const page = join(folder, "runs", "latest", "export", "demo");
    assert.match(await Deno.readTextFile(join(page, "preprocessor.js")), /lockstepPreprocessor/);
    assert.ok((await Deno.stat(join(page, "tf.min.js"))).size > 1e6);
    const checked = await run("data", "check", "photos");
    assert.match(checked.stdout, /0 errors/, checked.stderr);
    const painted = join(folder, "data-check", "photos", "data-check.png");
    assert.ok((await Deno.stat(painted)).size > 1_000, "painted by a process of its own");
  });
});

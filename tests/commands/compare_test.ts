/**
 * Comparisons as a user starts them: real processes on small images.
 *
 * @module
 */
import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { stringify } from "@std/yaml";
import { compare, resumeComparison, train } from "../../mod.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { exists } from "../../src/base/paths.ts";
import { type Comparison, readComparison } from "../../src/compare/comparison.ts";
import { wonAtLeastOnce } from "../support/at_once.ts";
import { makeImages } from "../support/images.ts";
import { interruptTwice } from "../support/interrupt_twice.ts";
import { allGone, commandLineOf, descendantsOf } from "../support/processes.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runCommand, startCommand, tinyConfig } from "../support/tiny_run.ts";

/** Makes images and a recipe; returns the recipe's path. */
async function recipe(folder: string, changes: Parameters<typeof tinyConfig>[1] = {}) {
  const root = join(folder, "images");
  await makeImages(root);
  const config: ConfigInput = {
    ...tinyConfig(root, changes),
    out: join(folder, "runs"),
    liveness: { lostAfter: 60, joinTimeout: 300 }, // a busy machine is no failure
  };
  const path = join(folder, "recipe.yaml");
  await Deno.writeTextFile(path, stringify(config));
  return { path, config };
}

/** The newest comparison of a folder of runs. */
async function newest(folder: string): Promise<string> {
  return await Deno.realPath(join(folder, "runs", "latest-compare"));
}

/** The results that must be equal however often a comparison was interrupted: everything but times. */
function results({ variants }: Comparison) {
  return variants.map(({ id, label, differences, runs }) => ({
    ...{ id, label, differences },
    runs: runs.map(({ seed, folder, status, epochs }) => ({
      ...{ seed, folder, status },
      epochs: epochs.map(({ seconds: _, imagesPerSecond: __, ...record }) => record),
    })),
  }));
}

Deno.test("compare trains named variants, and leaves their runs, a table and an image", () =>
  withTemporaryFolder(async (folder) => {
    const { path, config } = await recipe(folder);
    const { folder: before } = await train({ ...config, seed: 7, out: join(folder, "before") });
    const weights = join(before, "checkpoints", "best", "model.safetensors");
    const { code, stdout, stderr } = await runCommand([
      ...["compare", "--config", path, "--variants", "extract,scratch"],
      ...["--weights", weights, "--repeats", "2", "--set", "scratch:train.lr=0.01"],
    ], folder);
    assert.equal(code, 0, stderr);
    const made = await newest(folder);
    const entries = (await Array.fromAsync(Deno.readDir(made))).map(({ name }) => name).sort();
    assert.deepEqual(entries.filter((name) => !name.startsWith(".")), [
      "comparison.csv",
      "comparison.json",
      "comparison.png",
      "comparison.svg",
      ...["extract-seed-0", "extract-seed-1", "report.html", "scratch-seed-0", "scratch-seed-1"],
    ]);
    assert.match(made, /\d{8}-\d{6}-compare-tiny$/);

    const { variants } = await readComparison(made);
    assert.deepEqual(variants.map(({ label }) => label), [
      "Feature extraction",
      "Scratch",
    ]);
    assert.deepEqual(variants[1].differences, {
      "model.weights": "none",
      "model.featureExtract": false,
      "train.lr": 0.01,
    });
    for (const { id, runs } of variants) {
      for (const { seed, status, epochs, folder: name } of runs) {
        assert.equal(status, "finished");
        const own = JSON.parse(await Deno.readTextFile(join(made, name, "history.json")));
        assert.deepEqual(own.epochs, epochs);
        assert.equal(own.config.seed, seed);
        assert.equal(own.config.name, `tiny-${id}`);
      }
      const [first, second] = runs.map(({ epochs }) => epochs.at(-1)!.train.loss);
      assert.notEqual(first, second, "another seed");
    }
    const csv = (await Deno.readTextFile(join(made, "comparison.csv"))).trim().split("\r\n");
    assert.equal(csv.length, 1 + 2 * 2 * 2);
    assert.match(
      await Deno.readTextFile(join(made, "comparison.svg")),
      /Scratch \(best 0\.\d{3} ± 0\.\d{3}\)/,
    );

    assert.match(stdout, /^\[1\/4\] Feature extraction, seed 0 {2}epoch 1\/2 {2}train loss/m);
    assert.match(
      stdout,
      /^\[4\/4\] Scratch, seed 1: best validation accuracy \d\.\d{3} in epoch \d/m,
    );
    assert.match(stdout, /^Scratch +\d\.\d{3} ± \d\.\d{3} +\d\.\d{3} to \d\.\d{3} .* img\/s/m);
    assert.match(stdout, /^differs in +Feature extraction +Scratch$/m);
    assert.match(stdout, /^Picture: .*comparison\.png$/m);
    assert.match(stdout, /^Report: .*report\.html$/m);
    const report = await Deno.readTextFile(join(made, "report.html"));
    assert.match(report, /<\/span> finished<\/span>/);
    for (const name of ["extract-seed-0", "scratch-seed-1"]) {
      assert.ok(report.includes(`href="./${name}/report.html"`), name);
    }
    assert.equal(stdout.match(/← best/g)?.length, 1);
    assert.doesNotMatch(stdout, /parameters to learn|deno task train --resume/);
    assert.doesNotMatch(stderr, /error:/);

    const again = await runCommand(["compare", "--resume", made], folder);
    assert.equal(again.code, 0, again.stderr);
    assert.doesNotMatch(again.stdout, /epoch 1\/2/, "nothing is trained again");
    await Deno.remove(join(made, "report.html"));
    const rewritten = await runCommand(["report", join("runs", "latest-compare")], folder);
    assert.equal(rewritten.code, 0, rewritten.stderr);
    assert.equal(rewritten.stdout, `Report: ${join("runs", basename(made), "report.html")}\n`);
    const written = (text: string) => text.replace(/<section[^>]*id="files".*/s, "");
    assert.equal(written(await Deno.readTextFile(join(made, "report.html"))), written(report));
    assert.deepEqual(await readComparison(made), { ...await readComparison(made), variants });
  }));

Deno.test("a comparison that was interrupted, then killed, goes on to the result of one that never was", () =>
  withTemporaryFolder(async (folder) => {
    const changes = { workers: 2, train: { epochs: 40, batchSize: 4 } };
    const { path, config } = await recipe(folder, changes);
    const whole = await compare(
      { "1 worker": { ...config, workers: 1 }, "2 workers": config },
      { out: join(folder, "whole") },
    );
    const command = ["compare", "--config", path, "--workers", "1,2"];
    await using first = startCommand(command, folder);
    await first.seen(/^\[1\/2\] 1 worker {2}epoch +3\//m);
    const started = await descendantsOf(first.pid);
    first.kill("SIGINT");
    const { code, stdout, stderr } = await first.result;
    assert.equal(code, 130, stderr);
    assert.match(stderr, /Stopping, with checkpoints .*again to stop at once/);
    assert.match(stdout, /2 of 2 runs are not finished; go on with: deno task compare --resume /);
    await allGone(started);
    const made = await newest(folder);
    const statuses = async () =>
      (await readComparison(made)).variants.map(({ runs }) => runs[0].status);
    assert.deepEqual(await statuses(), ["interrupted", "waiting"]);
    const report = () => Deno.readTextFile(join(made, "report.html"));
    assert.match(await report(), /The comparison was interrupted.*deno task compare --resume/s);

    await using second = startCommand(["compare", "--resume", made], folder);
    await second.seen(/^\[1\/2\] 1 worker: goes on after epoch \d+ of 40/m);
    await second.seen(/^\[2\/2\] 2 workers {2}epoch +4\//m);
    const killed = await descendantsOf(second.pid);
    second.kill("SIGKILL");
    await second.result;
    assert.deepEqual(await statuses(), ["finished", "running"]);
    assert.match(await report(), /The comparison hadn't ended/);
    // At once: the killed comparison's run is still writing its checkpoint, and is waited for.
    const third = await runCommand(["compare", "--resume", made], folder);
    assert.equal(third.code, 0, third.stderr);
    assert.doesNotMatch(third.stdout, /1 worker {2}epoch/);
    assert.match(third.stdout, /^\[2\/2\] 2 workers: goes on after epoch \d+ of 40/m);
    await allGone(killed);
    const ended = await readComparison(made);
    const expected = results(whole.comparison);
    assert.deepEqual(
      results(ended).map(({ runs }) => runs[0].epochs),
      expected.map(({ runs }) => runs[0].epochs),
    );
    assert.deepEqual(await statuses(), ["finished", "finished"]);
    assert.match(await report(), /<\/span> finished<\/span>/);
  }));

Deno.test("a second SIGINT ends a comparison at once, and leaves nothing behind", () =>
  withTemporaryFolder(async (folder) => {
    const { path } = await recipe(folder, { train: { epochs: 300 } });
    await wonAtLeastOnce(async () => {
      await using run = startCommand(["compare", "-c", path, "--workers", "1,2"], folder);
      await run.seen(/epoch +2\//);
      const started = await descendantsOf(run.pid);
      assert.ok(started.length >= 3, `a run, a worker and a broker, found ${started.length}`);
      const { code, wasAtOnce } = await interruptTwice(run, started);
      assert.equal(code, 130);
      await allGone(started);
      return wasAtOnce;
    });
  }));

Deno.test("a variant that fails is told at the end, and the others finish; --resume tries it again", () =>
  withTemporaryFolder(async (folder) => {
    const { path } = await recipe(folder);
    const { code, stdout, stderr } = await runCommand([
      ...["compare", "--config", path, "--workers", "1,2", "--set", "workers-1:train.lr=1e30"],
      ...["--parallel", "2"],
    ], folder);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /^Warning: \[1\/2\] 1 worker failed: .*(NaN|infinite)/m);
    assert.match(stderr, /^error: 1 worker, seed 0: .*(NaN|infinite).*train\.lr/m);
    assert.match(stdout, /^1 worker .*failed$/m);
    assert.match(stdout, /^2 workers +\d\.\d{3}.*← best$/m);
    assert.match(stdout, /1 of 2 runs are not finished; go on with/);
    const made = await newest(folder);
    const { variants } = await readComparison(made);
    assert.deepEqual(variants.map(({ runs }) => runs[0].status), ["failed", "finished"]);
    assert.match(variants[0].runs[0].message!, /train\.lr/);
    const report = await Deno.readTextFile(join(made, "report.html"));
    assert.match(report, /1 run failed:.*1 worker.*seed 0.*(NaN|infinite)/s);

    // Another config is another run: its checkpoint refuses it, until the run begins anew.
    const file = join(made, "comparison.json");
    const tree = JSON.parse(await Deno.readTextFile(file));
    tree.variants[0].config.train.lr = 0.02;
    await Deno.writeTextFile(file, JSON.stringify(tree));
    const refused = await resumeComparison(made);
    assert.match(
      refused.comparison.variants[0].runs[0].message!,
      /train\.lr is 0\.02, was 1e\+30: set it back/,
    );
    await Deno.remove(join(made, variants[0].runs[0].folder), { recursive: true });
    const { comparison } = await resumeComparison(made);
    assert.deepEqual(comparison.variants.map(({ runs }) => runs[0].status), [
      "finished",
      "finished",
    ]);
    assert.equal(comparison.variants[0].runs[0].message, undefined);
  }));

Deno.test("a run whose process is killed counts as failed, with what killed it", () =>
  withTemporaryFolder(async (folder) => {
    const { path } = await recipe(folder, { train: { epochs: 12 } });
    const args = ["compare", "-c", path, "--workers", "1,2"];
    await using run = startCommand([...args, "--set", "workers-1:train.epochs=300"], folder);
    await run.seen(/1 worker {2}epoch +2\//);
    const started = await descendantsOf(run.pid);
    const lines = await Promise.all(started.map(commandLineOf));
    const victim = started[lines.findIndex((line) => line.includes("compare_run.ts"))];
    Deno.kill(victim, "SIGKILL");
    const { code, stderr } = await run.result;
    assert.equal(code, 1, stderr);
    assert.match(stderr, /error: 1 worker, seed 0: The run's process was killed by SIGKILL/);
    await allGone(started);
    const { variants } = await readComparison(await newest(folder));
    assert.deepEqual(variants.map(({ runs }) => runs[0].status), ["failed", "finished"]);
    assert.ok(variants[0].runs[0].epochs.length >= 1, "what it had reached is kept");
  }));

Deno.test("only one process works on a comparison", () =>
  withTemporaryFolder(async (folder) => {
    const { path } = await recipe(folder, { train: { epochs: 300 } });
    await using run = startCommand(["compare", "-c", path, "--workers", "1,2"], folder);
    await run.seen(/epoch +1\//);
    const other = await runCommand(["compare", "--resume", await newest(folder)], folder);
    assert.equal(other.code, 2);
    assert.match(
      other.stderr,
      /^error: Comparison .* is in use by the process with pid \d+ on .*: wait for its end/m,
    );
    run.kill("SIGTERM");
    assert.equal((await run.result).code, 143);
  }));

Deno.test("compare without a recipe takes the default one for 15 epochs, unless --set says otherwise", () =>
  withTemporaryFolder(async (folder) => {
    const extract = ["compare", "--variants", "extract,finetune", "--out", join(folder, "runs")];
    await using run = startCommand([...extract, "--set", "finetune:train.epochs=2"], folder);
    await run.seen(/epoch +1\//);
    run.kill("SIGINT");
    assert.equal((await run.result).code, 130);
    const { variants } = await readComparison(await newest(folder));
    assert.deepEqual(
      variants.map(({ differences }) => differences["train.epochs"]),
      [15, 2],
    );
  }));

const WRONG_USE: [string[], RegExp][] = [
  [["--variants", "pretrained,scrach"], /Unknown variant "scrach": did you mean scratch\?/],
  [["--repeats", "0"], /--repeats is 0: give a whole number of at least 1/],
  [["--parallel", "none"], /--parallel is none/],
  [["--workers", "1,0"], /workers/],
  [["--set", "scratch:train.rl=1"], /Scratch: .*train\.rl: did you mean train\.lr\?/],
  [["--resume", "nowhere"], /nowhere is not a comparison/],
  [["--resume", "nowhere", "--repeats", "2", "--seed", "1"], /so --repeats, --seed can't be given/],
  [["--set", "nats.port=4222", "--parallel", "2"], /nats\.port is 4222, but 2 runs/],
  [["--set", "dashboard={port: 4000}", "--parallel", "3"], /dashboard\.port is 4000, but 3 runs/],
];
for (const [args, message] of WRONG_USE) {
  Deno.test(`compare refuses ${args.join(" ")} with exit code 2 before anything starts`, () =>
    withTemporaryFolder(async (folder) => {
      const { code, stdout, stderr } = await runCommand(["compare", ...args], folder);
      assert.equal(code, 2, stderr);
      assert.match(stderr, message);
      assert.match(stderr, /^error: \S/);
      assert.doesNotMatch(stderr, /\n\s+at /, "no stack trace");
      assert.equal(stdout, "");
      assert.equal(await exists(join(folder, "runs")), false);
    }));
}

Deno.test("resumeComparison() completes a run that stopped early and was killed before it said so", () =>
  withTemporaryFolder(async (folder) => {
    // No epoch is better than the first by so much: training ends after the second of five.
    const earlyStopping = { patience: 1, minDelta: 10 };
    const { config } = await recipe(folder, { train: { epochs: 5, earlyStopping } });
    const { folder: made, comparison } = await compare({ only: config });
    const [first] = comparison.variants[0].runs;
    assert.equal(first.status, "finished", `${first.message}`);
    const run = join(made, comparison.variants[0].runs[0].folder);
    // What a kill after the second epoch's history leaves: neither stop nor end nor report.
    const events = join(run, "events.jsonl");
    const lines = (await Deno.readTextFile(events)).trimEnd().split("\n");
    const cut = lines.slice(0, lines.findLastIndex((line) => line.includes('"epoch"')) + 1)
      .filter((line) => !line.includes('"stopped"'));
    await Deno.writeTextFile(events, cut.join("\n") + "\n");
    const history = JSON.parse(await Deno.readTextFile(join(run, "history.json")));
    const { stopped, ...rest } = history;
    await Deno.writeTextFile(join(run, "history.json"), JSON.stringify(rest));
    await Deno.remove(join(run, "report.html"));
    const file = join(made, "comparison.json");
    const tree = JSON.parse(await Deno.readTextFile(file));
    tree.variants[0].runs[0].status = "running";
    await Deno.writeTextFile(file, JSON.stringify(tree));

    const again = await resumeComparison(made);
    const [result] = again.comparison.variants[0].runs;
    assert.deepEqual([result.status, result.epochs.length], ["finished", 2], `${result.message}`);
    const now = JSON.parse(await Deno.readTextFile(join(run, "history.json")));
    assert.deepEqual([now.stopped, now.epochs], [stopped, rest.epochs]);
    assert.ok(await exists(join(run, "report.html")));
    const ends = (await Deno.readTextFile(events)).trimEnd().split("\n").slice(-3)
      .map((line) => JSON.parse(line).type);
    assert.deepEqual(ends, ["stopped", "finished", "report"]);
  }));

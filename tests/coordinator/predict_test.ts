import assert from "node:assert/strict";
import { join } from "node:path";
import Papa from "papaparse";
import { evaluate, loadCheckpoint, predict, train } from "../../mod.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { readPredictions } from "../../src/records/predictions.ts";
import { makeImages, transformsFor } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runCommand, startCommand, tinyConfig } from "../support/tiny_run.ts";

/** A machine that does other things too may be slow. */
const PATIENT = { lostAfter: 60 };

async function makeRun(folder: string): Promise<{ root: string; run: string }> {
  const root = join(folder, "images");
  await makeImages(root, { train: 4, val: 4 });
  const { folder: run } = await train(
    tinyConfig(root, { liveness: PATIENT, train: { epochs: 1 } }),
  );
  return { root, run };
}

async function pngSize(path: string): Promise<[number, number]> {
  const view = new DataView((await Deno.readFile(path)).buffer);
  assert.equal(view.getUint32(0), 0x89504e47);
  return [view.getUint32(16), view.getUint32(20)];
}

Deno.test("predict() gives the run's own predictions, in order, in batches of any size", () =>
  withTemporaryFolder(async (folder) => {
    const { root, run } = await makeRun(folder);
    await openEngine();
    const expected = await readPredictions(run);
    for (const batchSize of [1, 5, 8, 12]) {
      const results = await Array.fromAsync(predict(run, [join(root, "val")], { batchSize }));
      assert.equal(results.length, 12);
      results.forEach((result, index) => {
        assert.ok(!("error" in result), JSON.stringify(result));
        const { path, predictions } = result;
        assert.equal(path, join(root, expected[index].path));
        assert.equal(predictions.length, 3, "all classes, where there are fewer than five");
        assert.equal(predictions[0].class, expected[index].predictedClass);
        assert.ok(Math.abs(predictions[0].probability - expected[index].confidence) < 1e-5);
        const sum = predictions.reduce((total, { probability }) => total + probability, 0);
        assert.ok(Math.abs(sum - 1) < 1e-5);
      });
    }
    const best = join(run, "checkpoints", "best");
    const [one] = await Array.fromAsync(predict(best, [join(root, "val/dark/*.jpg")], { top: 1 }));
    assert.ok(!("error" in one) && one.predictions.length === 1, "by its checkpoint too");

    const { model } = await loadCheckpoint(best);
    const { accuracy, report } = await evaluate(model, root, { transforms: transformsFor(20) });
    assert.equal(report.accuracy, accuracy);
    assert.equal(report.perClass.length, 3);
    assert.ok(report.calibration.ece >= 0);
  }));

Deno.test("predict() leaves no tensor behind, also when nobody takes all of it", () =>
  withTemporaryFolder(async (folder) => {
    const { root, run } = await makeRun(folder);
    const { runtime } = await openEngine();
    const counts: number[] = [];
    for (let round = 0; round < 3; round++) {
      for await (const _ of predict(run, [root], { batchSize: 4 })) break;
      await Array.fromAsync(predict(run, [root], { batchSize: 4 }));
      counts.push(runtime.tensorCount);
    }
    assert.equal(counts[2], counts[1]);
  }));

Deno.test("predict on the command line: table, CSV, JSON lines, grid and explanations", () =>
  withTemporaryFolder(async (folder) => {
    const { root, run } = await makeRun(folder);
    await Deno.writeTextFile(join(root, "junk.jpg"), "junk");
    const val = join(root, "val");
    const named = [val, join(root, "junk.jpg"), "none.jpg"];

    const table = await runCommand(["predict", "--run", run, ...named], folder);
    assert.equal(table.code, 1, table.stderr);
    const lines = table.stdout.trimEnd().split("\n");
    assert.equal(lines.length, 1 + 12);
    assert.match(lines[0], /^image +class +then$/);
    assert.match(lines[1], /val\/dark\/0\.jpg +\w+ +\d+\.\d% {2}\w+ \d+\.\d%, \w+ \d+\.\d%$/);
    assert.match(table.stderr, /none\.jpg can't be used: the file is missing/);
    assert.match(table.stderr, /junk\.jpg can't be used: it is not a JPEG/);

    const csv = await runCommand(["predict", "--run", run, val, "--csv", "--top", "2"], folder);
    assert.equal(csv.code, 0, csv.stderr);
    const { data: [header, ...rows], errors } = Papa.parse<string[]>(csv.stdout, {
      skipEmptyLines: true,
    });
    assert.deepEqual(errors, []);
    assert.deepEqual(header, [
      "path",
      "predicted_class",
      "probability",
      "class_2",
      "probability_2",
    ]);
    const expected = await readPredictions(run);
    assert.deepEqual(
      rows.map((row) => row.slice(0, 2)),
      expected.map((entry) => [
        join(root, entry.path),
        entry.predictedClass,
      ]),
    );

    const args = ["--json", "--grid", "out/grid.png", "--explain", "maps"];
    const json = await runCommand(["predict", "--run", run, ...named, ...args], folder);
    assert.equal(json.code, 1);
    const objects = json.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
    assert.equal(objects.length, 14);
    assert.deepEqual(objects.filter(({ error }) => error).map(({ path }) => path).sort(), [
      join(root, "junk.jpg"),
      "none.jpg",
    ]);
    for (const { error, explanation, predictions } of objects) {
      if (error) continue;
      assert.equal(predictions.length, 3);
      // Two images of 200 pixels beside each other, with margins and a heading.
      const [width, height] = await pngSize(join(folder, explanation));
      assert.ok(width > 2 * 200 && height > 200, `${width} × ${height}`);
    }
    assert.equal((await Array.fromAsync(Deno.readDir(join(folder, "maps")))).length, 12);
    const [width, height] = await pngSize(join(folder, "out", "grid.png"));
    assert.ok(width > 5 * 200 && height > 3 * 200, `${width} × ${height}`);
  }));

Deno.test("predict says what is wrong with its use", () =>
  withTemporaryFolder(async (folder) => {
    const { root, run } = await makeRun(folder);
    const cases: [string[], RegExp][] = [
      [["--run", run], /Name images: files, folders/],
      [["--checkpoint", "weights.pth", "x.jpg"], /Checkpoint weights\.pth is missing/],
      [["--run", run, "--json", "--csv", "x.jpg"], /--json and --csv exclude each other/],
      [["--run", run, root, "--explain", join(run, "config.yaml")], /--explain .* is not a folder/],
      [["--run", root, "x.jpg"], /is not a run folder/],
      [["--run", run, "--top", "0", root], /--top is 0/],
    ];
    for (const [args, message] of cases) {
      const { code, stderr, stdout } = await runCommand(["predict", ...args], folder);
      assert.equal(code, 2, stderr);
      assert.match(stderr, message);
      assert.equal(stdout, "");
    }
  }));

Deno.test("predict prints the first images while a later one is still being fetched", () =>
  withTemporaryFolder(async (folder) => {
    const { root, run } = await makeRun(folder);
    const image = await Deno.readFile(join(root, "val", "dark", "0.jpg"));
    const released = Promise.withResolvers<void>();
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      async () => {
        await released.promise;
        return new Response(image, { headers: { "content-type": "image/jpeg" } });
      },
    );
    const url = `http://127.0.0.1:${server.addr.port}/late.jpg`;
    await using process = startCommand(
      ["predict", "--run", run, join(root, "val"), url, "--json"],
      folder,
    );
    await process.seen(/val\/dark\/3\.jpg/); // of the first batch
    released.resolve();
    const { code, stdout, stderr } = await process.result;
    assert.equal(code, 0, stderr);
    assert.equal(stdout.trimEnd().split("\n").length, 13);
    assert.match(stdout.trimEnd().split("\n")[12], /late\.jpg/);
  }));

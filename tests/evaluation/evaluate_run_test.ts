import assert from "node:assert/strict";
import { basename, join } from "node:path";
import Papa from "papaparse";
import { train } from "../../mod.ts";
import { UsageError } from "../../src/base/errors.ts";
import { encodeWithDigest } from "../../src/checkpoint/checkpoint_digest.ts";
import { evaluateRun } from "../../src/evaluation/evaluate_run.ts";
import { type EvaluationRecord, readEvaluation } from "../../src/records/evaluation_file.ts";
import { readHistory } from "../../src/records/history.ts";
import { readPredictions } from "../../src/records/predictions.ts";
import { silentReporter } from "../../src/events/reporter.ts";
import { makeImages, transformsFor } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runCommand, tinyConfig } from "../support/tiny_run.ts";
import { writeVersion2 } from "../support/version_2.ts";

/** Seven, so that there is a top-5 accuracy; one name is markup. */
const CLASSES = ['<b>&"bold"', "dark", "light", "middle", "other", "pale", "shady"];
const PNG = [0x89, 0x50, 0x4e, 0x47];

/** A machine that does other things too may be slow. */
const PATIENT = { lostAfter: 60 };

/** A run on made images that is far from perfect. */
async function makeRun(folder: string): Promise<{ root: string; run: string }> {
  const root = join(folder, "images");
  await makeImages(root, { classes: CLASSES, train: 4, val: 3 });
  const { folder: run } = await train(tinyConfig(root, {
    liveness: PATIENT,
    workers: 2,
    train: {
      epochs: 2,
      batchSize: 8,
      lr: 0.02,
      labelSmoothing: 0.1,
      classWeights: { dark: 2, light: 0.5 },
      ema: { decay: 0.9 },
    },
  }));
  return { root, run };
}

/** A reporter that remembers what it was told. */
function listener() {
  const lines: string[] = [];
  const reporter = silentReporter();
  return {
    lines,
    reporter: {
      ...reporter,
      info: (line: string) => void lines.push(line),
      warn: (line: string) => void lines.push(line),
    },
  };
}

/** Removes the fields of an evaluation that depend on the clock or the number of workers. */
function withoutClock({ time: _, seconds: __, workers: ___, ...rest }: EvaluationRecord) {
  return rest;
}

function assertClose(a: unknown, b: unknown, where = ""): void {
  if (typeof a === "number" && typeof b === "number") {
    assert.ok(Object.is(a, b) || Math.abs(a - b) < 1e-5, `${where}: ${a}, ${b}`);
  } else if (typeof a === "object" && a !== null && typeof b === "object" && b !== null) {
    assert.deepEqual(Object.keys(a), Object.keys(b), where);
    for (const [key, value] of Object.entries(a)) {
      assertClose(value, (b as Record<string, unknown>)[key], `${where}.${key}`);
    }
  } else assert.equal(a, b, where);
}

async function csvRows(path: string): Promise<string[][]> {
  const { data, errors } = Papa.parse<string[]>(await Deno.readTextFile(path), {
    skipEmptyLines: true,
  });
  assert.deepEqual(errors, []);
  return data;
}

Deno.test("evaluateRun() finds what the run's validation found, on any number of workers", () =>
  withTemporaryFolder(async (folder) => {
    const { root, run } = await makeRun(folder);
    const history = await readHistory(run);
    const recorded = history.epochs[history.best.epoch - 1].validation;
    const records: EvaluationRecord[] = [];
    for (const workers of [2, 1, 3]) {
      const { folder: out, record } = await evaluateRun({ run, workers });
      assert.equal(out, join(run, "evaluation"));
      assert.deepEqual(await readEvaluation(out), record);
      records.push(record);
    }
    const [record] = records;
    assert.deepEqual(records.map(({ workers }) => workers), [2, 1, 3]);
    for (const other of records) assertClose(withoutClock(other), withoutClock(record));
    assert.equal(record.accuracy, recorded.accuracy);
    assert.ok(Math.abs(record.loss - recorded.loss) < 1e-6, `${record.loss}, ${recorded.loss}`);
    assert.equal(record.count, recorded.count);
    assert.deepEqual(record.confusionMatrix, history.best.confusionMatrix);
    assert.deepEqual(record.classes, CLASSES);
    assert.ok(record.top5! >= record.accuracy && record.top5! <= 1);
    assert.equal(record.model.run, basename(run));
    assert.equal(record.model.epoch, history.best.epoch);
    assert.deepEqual(record.data.split, "val");
    assert.equal(record.data.root, root);
    record.perClass.forEach(({ recall, support }, label) => {
      assert.equal(recall, history.best.perClassAccuracy![label].accuracy);
      assert.equal(support, 3);
    });
    assert.ok(record.mistakes.length > 0, "the tiny network is not perfect");
    await assertFiles(join(run, "evaluation"), run, record);
  }));

/** Every file says what the record says. */
async function assertFiles(folder: string, run: string, record: EvaluationRecord): Promise<void> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
  assert.deepEqual(names, [
    "confusion.png",
    "confusion.svg",
    "evaluation.json",
    "mistakes.png",
    "predictions.csv",
    "reliability.png",
    "reliability.svg",
  ]);
  const [header, ...rows] = await csvRows(join(folder, "predictions.csv"));
  assert.deepEqual(header.slice(0, 7), [
    "path",
    "true_class",
    "predicted_class",
    "probability",
    "loss",
    "class_2",
    "probability_2",
  ]);
  assert.equal(header.length, 5 + 2 * 4);
  const ofRun = await readPredictions(run);
  assert.equal(rows.length, record.count);
  let lossSum = 0;
  rows.forEach((row, index) => {
    const { path, trueClass, predictedClass, confidence } = ofRun[index];
    assert.deepEqual(row.slice(0, 3), [path, trueClass, predictedClass]);
    assert.ok(Math.abs(Number(row[3]) - confidence) < 1e-5);
    const shares = [3, 6, 8, 10, 12].map((at) => Number(row[at]));
    assert.deepEqual([...shares].sort((a, b) => b - a), shares, "the most probable first");
    assert.equal(new Set([2, 5, 7, 9, 11].map((at) => row[at])).size, 5, "five classes");
    lossSum += Number(row[4]);
  });
  // Weights of the classes: 3 images each, of weight 2, 0.5 and five times 1.
  assert.ok(Math.abs(lossSum / (3 * 7.5) - record.loss) < 1e-5);
  const wrong = rows.filter(([, own, predicted]) => own !== predicted)
    .sort((a, b) => Number(b[3]) - Number(a[3]));
  assert.equal(record.mistakes.length, Math.min(16, wrong.length));
  assert.ok(Math.abs(record.mistakes[0].probability - Number(wrong[0][3])) < 1e-5);

  const svg = await Deno.readTextFile(join(folder, "confusion.svg"));
  assert.match(svg, /&lt;b&gt;&amp;&quot;bold&quot;/);
  assert.doesNotMatch(svg, /<b>/);
  const texts = Array.from(svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g), ([, text]) => text);
  const counts = record.confusionMatrix!.flat().filter((count) => count > 0).map(String);
  assert.deepEqual(texts.filter((text) => /^\d+$/.test(text)), counts);
  const percents = record.confusionMatrix!.flat().filter((count) => count > 0)
    .map((count) => `${Math.round(100 * count / 3)}%`);
  assert.deepEqual(texts.filter((text) => /%$/.test(text)), percents);
  const reliability = await Deno.readTextFile(join(folder, "reliability.svg"));
  assert.ok(reliability.includes(`ECE) ${record.calibration.ece.toFixed(3)}`));
  for (const name of names.filter((name) => name.endsWith(".png"))) {
    const bytes = await Deno.readFile(join(folder, name));
    assert.deepEqual([...bytes.subarray(0, 4)], PNG, name);
    assert.ok(new DataView(bytes.buffer).getUint32(16) > 300, name);
  }
}

Deno.test("evaluateRun() on other images, parts and checkpoints", () =>
  withTemporaryFolder(async (folder) => {
    const { root, run } = await makeRun(folder);
    const whole = (await evaluateRun({ run, workers: 1 })).record;

    // A single folder, in another order by other names beside it, and without two of the classes.
    const other = join(folder, "other");
    const some = ["dark", "light", "middle", "pale", "shady"];
    for (const name of some) {
      await Deno.mkdir(join(other, name), { recursive: true });
      for (const file of ["0.jpg", "1.jpg", "2.jpg"]) {
        await Deno.copyFile(join(root, "val", name, file), join(other, name, file));
      }
    }
    const { lines, reporter } = listener();
    const out = join(folder, "out");
    const part = (await evaluateRun({ run, data: other, workers: 2 }, { reporter, out })).record;
    assert.equal(part.count, 15);
    assert.ok(
      lines.some((line) => /no images of 2 of the 7 classes: <b>&"bold", other/.test(line)),
    );
    some.forEach((name) => {
      const label = CLASSES.indexOf(name);
      assert.deepEqual(part.confusionMatrix![label], whole.confusionMatrix![label], name);
    });
    assert.ok(Number.isNaN(part.perClass[0].recall));
    assert.deepEqual(await readEvaluation(out), part);
    assert.equal((await readEvaluation(join(run, "evaluation")))!.count, 21, "as it was");

    const trained = (await evaluateRun({ run, split: "train", workers: 1 }, { out })).record;
    assert.equal(trained.count, 28);
    assert.equal(trained.data.split, "train");
    const pair =
      (await evaluateRun({ run, data: root, split: "train", workers: 1 }, { out })).record;
    assert.deepEqual(pair.confusionMatrix, trained.confusionMatrix);

    const last = join(run, "checkpoints", "last");
    const { record: ofLast } = await evaluateRun({ checkpoint: last, workers: 1 }, {
      reporter,
      out,
    });
    assert.equal(ofLast.model.run, basename(run), "the run is found around its checkpoint");
    assert.ok(lines.some((line) => /averaged weights are used/.test(line)));
    const history = await readHistory(run);
    assert.equal(ofLast.accuracy, history.epochs[1].validation.accuracy);

    // A checkpoint that was taken out of its run.
    const bare = join(folder, "bare");
    await Deno.mkdir(bare);
    for await (const { name } of Deno.readDir(join(run, "checkpoints", "best"))) {
      await Deno.copyFile(join(run, "checkpoints", "best", name), join(bare, name));
    }
    // It has its config: the same images, prepared in the same way.
    for (const data of [undefined, root]) {
      const checkpoint = join(bare, "model.safetensors");
      const alone = await evaluateRun({ checkpoint, data, workers: 1 }, { reporter, out });
      assert.equal(alone.record.count, 21);
      assert.equal(alone.record.model.run, undefined);
      assert.deepEqual(alone.record.confusionMatrix, whole.confusionMatrix);
    }
    const preset = /evaluation preset of plain_cnn \(Resize 37, CenterCrop 32/;
    assert.ok(!lines.some((line) => preset.test(line)));
    await writeVersion2(bare);
    await assert.rejects(evaluateRun({ checkpoint: bare }), /lies in no run folder.*--data/);
    const old = await evaluateRun({ checkpoint: bare, data: root, workers: 1 }, { reporter, out });
    assert.equal(old.record.count, 21);
    assert.ok(lines.some((line) => preset.test(line)));
  }));

Deno.test("evaluateRun() names and counts images that can't be read, as data.onError says", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { train: 2, val: 3 });
    const transforms = transformsFor(20);
    const config = tinyConfig(root, {
      liveness: PATIENT,
      data: { root, train: transforms, val: transforms, onError: "skip" },
      train: { epochs: 1, batchSize: 4, lr: 0.02 },
    });
    const { folder: run } = await train(config);
    await Deno.writeTextFile(join(root, "val", "dark", "1.jpg"), "no image");
    const { lines, reporter } = listener();
    const { record } = await evaluateRun({ run, workers: 2 }, { reporter });
    assert.equal(record.count, 8);
    assert.equal(record.data.pictures, 9);
    assert.deepEqual(record.skipped.map(({ path }) => path), ["val/dark/1.jpg"]);
    assert.ok(lines.some((line) => line.startsWith("Skipped val/dark/1.jpg: it is not a JPEG")));
    assert.equal(record.perClass[0].support, 2);
    assert.equal((await csvRows(join(run, "evaluation", "predictions.csv"))).length, 1 + 8);

    const path = join(run, "config.yaml");
    await Deno.writeTextFile(
      path,
      (await Deno.readTextFile(path)).replace("onError: skip", "onError: fail"),
    );
    await assert.rejects(evaluateRun({ run, workers: 1 }), /val\/dark\/1\.jpg/);
  }));

Deno.test("evaluateRun() says what is wrong before it starts", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { train: 2, val: 1 });
    const { folder: run } = await train(
      tinyConfig(root, { liveness: PATIENT, train: { epochs: 1 } }),
    );
    const refuses = (request: Parameters<typeof evaluateRun>[0], message: RegExp) =>
      assert.rejects(evaluateRun(request), (error: Error) => {
        assert.ok(error instanceof UsageError, String(error.stack));
        assert.match(error.message, message);
        return true;
      });
    await refuses({}, /Name a run with --run, such as --run runs\/latest/);
    await refuses(
      { run: join(folder, "none") },
      /none is missing: name a folder that deno task train/,
    );
    await refuses({ run: root }, /images is not a run folder, it has no config\.yaml/);
    await refuses({ checkpoint: join(folder, "none") }, /Checkpoint .*none is missing/);
    await refuses({ run, data: join(folder, "none") }, /none" is missing/);

    const typo = join(folder, "typo");
    await makeImages(typo, { classes: ["dark", "ligth", "middle"], train: 1, val: 1 });
    await refuses({ run, data: typo }, /doesn't know, "ligth": did you mean "light"\?/);
    const plain = join(typo, "val");
    await refuses(
      { run, data: plain, split: "val" },
      /holds classes and no val\/.*leave --split out/,
    );

    const best = join(run, "checkpoints", "best");
    const info = join(best, "checkpoint.json");
    const text = await Deno.readTextFile(info);
    const { digest: _, ...json } = JSON.parse(text);
    await Deno.writeTextFile(info, JSON.stringify({ ...json, checkpointVersion: 1 }));
    await refuses(
      { run },
      /it is of version 1, written by Lockstep .*use the Lockstep that wrote it/,
    );
    await Deno.writeTextFile(info, text.replace(/\n {2}/g, "\n "));
    await refuses({ run }, /checkpoint\.json is altered/);
    await Deno.writeFile(info, encodeWithDigest({ ...json, classes: ["dark", "light"] }));
    await refuses({ run }, /names 2 classes, but its model has 3/);
    await Deno.writeTextFile(info, text);
    await Deno.truncate(join(best, "model.safetensors"), 1000);
    await refuses({ run }, /model\.safetensors is cut short or altered/);
    await Deno.remove(best);
    await refuses({ run }, /has no best checkpoint.*--checkpoint .*last/);
    assert.ok(
      !(await Array.fromAsync(Deno.readDir(run))).some(({ name }) => name === "evaluation"),
    );
  }));

Deno.test("evaluate on the command line: tables, JSON, and exit codes", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { train: 2, val: 2 });
    const { folder: run } = await train(
      tinyConfig(root, { liveness: PATIENT, train: { epochs: 1 } }),
    );
    const table = await runCommand(["evaluate", "--run", join(folder, "runs", "latest")], folder);
    assert.equal(table.code, 0, table.stderr);
    assert.match(table.stdout, /^6 validation images of .*images$/m);
    assert.match(table.stdout, /^loss \d\.\d+ {2}accuracy \d\.\d{3} {2}ECE \d\.\d{3}$/m);
    assert.match(table.stdout, /^class +precision +recall +F1 +images\ndark /m);
    assert.match(table.stdout, /^true +dark +light +middle\ndark +[\d·]/m);
    assert.match(table.stdout, /Evaluation: .*latest\/evaluation\n$/);
    const { model } = (await readEvaluation(join(run, "evaluation")))!;
    assert.deepEqual([model.run, model.runName], [basename(run), "tiny"]);

    const json = await runCommand(["evaluate", "--run", run, "--json", "--workers", "2"], folder);
    assert.equal(json.code, 0, json.stderr);
    assert.equal(JSON.parse(json.stdout).workers, 2);
    const { loss, accuracy } = (await readHistory(run)).epochs[0].validation;
    assert.equal(JSON.parse(json.stdout).accuracy, accuracy);
    assertClose(JSON.parse(json.stdout).loss, loss, "the loss of the run's validation");
    const text = await Deno.readTextFile(join(run, "evaluation", "evaluation.json"));
    assert.equal(json.stdout, text);

    const wrong = await runCommand(["evaluate", "--run", run, "--split", "test"], folder);
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /--split is test: give val or train/);
  }));

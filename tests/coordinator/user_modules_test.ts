import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { loadCheckpoint, openEngine, train } from "../../mod.ts";
import { decodeImage } from "../../src/data/codecs/decode.ts";
import { transformsSchema } from "../../src/data/transforms/transform_specs.ts";
import { tf } from "../../src/engine/tf.ts";
import { makePreprocessor } from "../../src/export/preprocessor.ts";
import { applyModel } from "../../src/models/heads.ts";
import { readCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState, relativeDifference, runCommand } from "../support/tiny_run.ts";
import { moduleConfig, moduleIn, writeModules } from "../support/user_modules.ts";

/** The samples of the usual data module, one after the other. */
const STREAM = `
import { createDataset as indexed } from "./indexed.ts";
export async function createDataset(options) {
  const { classes, train, val } = indexed(options);
  return { classes, train: streamed(train), val: streamed(val) };
}
const streamed = ({ length, sample }) => ({
  length,
  async *stream({ epoch }) {
    for (let place = 0; place < length; place++) {
      yield await Promise.resolve(sample((place * 5 + epoch) % length));
    }
  },
});
`;

Deno.test("1 and 2 workers reach the same parameters with a model, data, loss and metrics of one's own", () =>
  withTemporaryFolder(async (folder) => {
    await writeModules(folder);
    const runs = [];
    for (const workers of [1, 2]) {
      const { folder: run, history } = await train(moduleConfig(folder, { workers }));
      runs.push({ ...await lastState(run), history });
    }
    const [one, two] = runs;
    const difference = relativeDifference(two.model, one.model);
    assert.ok(difference <= 1e-5, `they differ by ${difference}`);
    one.history.epochs.forEach(({ train, validation, metrics }, index) => {
      const other = two.history.epochs[index];
      assert.ok(Math.abs(train.loss - other.train.loss) < 1e-5);
      assert.equal(validation.count, 9);
      assert.equal(other.validation.count, 9);
      assert.deepEqual(Object.keys(metrics!), ["recall", "surety"]);
      assert.equal(other.metrics!.recall, metrics!.recall);
      assert.ok(Math.abs(other.metrics!.surety - metrics!.surety) < 1e-5);
    });
    const [first, , last] = one.history.epochs;
    assert.ok(last.train.loss < first.train.loss, "it learns");
  }));

Deno.test("the metrics, the loss and the labels are those of the user's code", () =>
  withTemporaryFolder(async (folder) => {
    await writeModules(folder, {
      loss: "export const lossPerSample = (logits, { labels }, tf) =>\n" +
        "  tf.add(tf.cast(labels, 'float32'), tf.mul(0, tf.sum(logits, 1)));",
      metrics: "export const label = ({ labels }, tf) => tf.cast(labels, 'float32');\n" +
        "export const third = ({ labels }, tf) =>\n" +
        "  ({ sum: tf.sum(tf.cast(tf.equal(labels, 2), 'int32')), count: tf.scalar(labels.shape[0]) });",
    });
    const { history, loadPredictions } = await train(
      moduleConfig(folder, { workers: 2, train: { epochs: 1 } }),
    );
    const [{ train: { loss }, validation, metrics }] = history.epochs;
    assert.equal(loss, 1);
    assert.equal(validation.loss, 1);
    assert.deepEqual(metrics, { label: 1, third: 1 / 3 });
    const classes = (await loadPredictions()).map(({ trueClass }) => trueClass);
    assert.deepEqual(classes.slice(0, 4), ["dark", "middle", "light", "dark"]);
  }));

Deno.test("a stream gives the same parameters on 1 and 2 workers, and after a stop", () =>
  withTemporaryFolder(async (folder) => {
    await writeModules(folder);
    await Deno.rename(join(folder, "data.ts"), join(folder, "indexed.ts"));
    await Deno.writeTextFile(join(folder, "data.ts"), STREAM);
    const options = { onStep: stopAt(2, 2) };
    const one = await train(moduleConfig(folder));
    const two = await train(moduleConfig(folder, { workers: 2 }));
    const state = await lastState(one.folder);
    const difference = relativeDifference((await lastState(two.folder)).model, state.model);
    assert.ok(difference <= 1e-5, `they differ by ${difference}`);
    assert.deepEqual(two.history.best.confusionMatrix, one.history.best.confusionMatrix);
    const stopped = await train(moduleConfig(folder), options);
    await train(moduleConfig(folder), { resume: stopped.folder });
    assert.deepEqual((await lastState(stopped.folder)).sha256, state.sha256);
  }));

/** A callback that stops a run after a step. */
function stopAt(epoch: number, step: number) {
  return (at: { epoch: number; step: number }) =>
    at.epoch === epoch && at.step === step ? "stop" as const : undefined;
}

Deno.test("a stopped run goes on to the same bits, and its checkpoint loads with its module alone", () =>
  withTemporaryFolder(async (folder) => {
    await writeModules(folder);
    const config = moduleConfig(folder, { workers: 2 });
    const whole = await train(config);
    const stopped = await train(config, { onStep: stopAt(2, 1) });
    assert.deepEqual(stopped.history.stopped, { epoch: 2, step: 2, reason: "onStep said stop" });
    assert.equal(stopped.history.epochs.length, 1);
    const { history } = await train(config, { resume: stopped.folder });
    assert.equal(history.stopped, undefined);
    assert.deepEqual(
      (await lastState(stopped.folder)).sha256,
      (await lastState(whole.folder)).sha256,
    );

    await openEngine();
    const best = join(whole.folder, "checkpoints", "best");
    const module = moduleIn(folder, "model");
    await assert.rejects(loadCheckpoint(best), /trust that module, give its URL/);
    const { model, info } = await loadCheckpoint(best, { module });
    assert.deepEqual(info.model.inputSize, [12, 12]);
    assert.deepEqual(info.model.module, module);
    const again = await whole.loadBest();
    assert.deepEqual(
      again.model.getWeights().map((weight) => Array.from(weight.dataSync())),
      model.getWeights().map((weight) => Array.from(weight.dataSync())),
    );
    // Other models in this process have moved TensorFlow.js's counters: the names haven't.
    assert.deepEqual([...(await readCheckpoint(best)).model.keys()], [
      "conv2d_1.weight",
      "conv2d_1.bias",
      "head.weight",
      "head.bias",
    ]);

    await Deno.writeTextFile(join(folder, "model.ts"), "// changed\n", { append: true });
    await assert.rejects(
      loadCheckpoint(best, { module }),
      /another version of file.*SHA-256 \w{12}, here it/,
    );
    const third = { ...config, train: { ...config.train, epochs: 4 } };
    await assert.rejects(
      train(third, { resume: whole.folder }),
      /doesn't fit this run: its model\.module has the SHA-256 \w{12}, here it is \w{12}/,
    );
  }));

Deno.test("the same seed gives the same bits though nothing in the model is seeded, another seed others", () =>
  withTemporaryFolder(async (folder) => {
    await writeModules(folder);
    const hashes = [];
    for (const seed of [5, 5, 6]) {
      const { folder: run } = await train(
        moduleConfig(folder, { seed, workers: 2, train: { epochs: 1 } }),
      );
      hashes.push((await lastState(run)).sha256["model.safetensors"]);
    }
    assert.equal(hashes[1], hashes[0]);
    assert.notEqual(hashes[2], hashes[0]);
  }));

Deno.test("predict, export and show-batch take a run with modules of one's own", () =>
  withTemporaryFolder(async (folder) => {
    await writeModules(folder);
    const config = moduleConfig(folder, { train: { epochs: 2 } });
    const { folder: run, loadBest } = await train(config);
    const photos = join(folder, "photos");
    await makeImages(photos, { side: 20 });
    const runs = async (...args: string[]) => {
      const { code, stdout, stderr } = await runCommand(args, folder);
      assert.equal(code, 0, stderr);
      return stdout;
    };

    const maps = join(folder, "maps");
    const lines = await runs(
      ...["predict", "--run", run, "--json", "--explain", maps, join(photos, "val")],
    );
    const rows = lines.trim().split("\n").map((line) => JSON.parse(line));
    const { model } = await loadBest();
    const preprocess = makePreprocessor(transformsSchema.parse(config.data.val));
    for (const { path, predictions: [{ probability }] } of rows) {
      const { pixels } = preprocess(await decodeImage(await Deno.readFile(path), { path }));
      const expected = tf.tidy(() =>
        tf.softmax(applyModel(model, tf.tensor4d(pixels, [1, 12, 12, 3]), false)[0]).dataSync()
      );
      assert.ok(Math.abs(probability - Math.max(...expected)) < 1e-6, `${path}: ${expected}`);
    }
    assert.equal(rows.length, 9);
    const drawn = await Array.fromAsync(Deno.readDir(maps));
    assert.equal(drawn.length, 9);

    const said = await runs("export", "--run", run);
    assert.match(said, /^Exported custom, 3 classes, epoch \d/);
    assert.match(
      said,
      /torchvision has no model of model\.ts, so there is no torchvision\.safetens/,
    );
    const out = join(run, "export");
    const names = (await Array.fromAsync(Deno.readDir(out))).map(({ name }) => name).sort();
    assert.deepEqual(names, ["demo", "export.json", "model.safetensors", "tfjs"]);
    for (const file of ["tfjs/model.json", "demo/model.js", "model.safetensors"]) {
      const text = await Deno.readTextFile(join(out, file));
      assert.ok(!text.includes(folder), `${file} tells where the module stands here`);
      assert.match(text, /\\?"module\\?":\\?"model\.ts\\?"/);
    }
    const only = ["export", "--run", run, "--format", "torchvision"];
    const refused = await runCommand(only, folder);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /torchvision has no model of model\.ts.*--format safetensors/);

    const file = join(folder, "own.yaml");
    await Deno.writeTextFile(file, stringify(config));
    const grid = join(folder, "grid.png");
    assert.equal(await runs("show-batch", "--config", file, "--out", grid), `${grid}\n`);
    const { width, height } = await decodeImage(await Deno.readFile(grid), { path: grid });
    assert.ok(width > 400 && height > 400, `${width} x ${height}`);
  }));

Deno.test("deno task evaluate scores a run with modules of one's own, and refuses a changed model", () =>
  withTemporaryFolder(async (folder) => {
    await writeModules(folder);
    const run = await train(moduleConfig(folder, { train: { epochs: 2 } }));
    const evaluate = async () =>
      await runCommand(["evaluate", "--run", run.folder, "--workers", "2"], folder);
    const { code, stdout, stderr } = await evaluate();
    assert.equal(code, 0, stdout + stderr);
    const record = JSON.parse(
      await Deno.readTextFile(join(run.folder, "evaluation", "evaluation.json")),
    );
    const { validation } = run.history.epochs[run.history.best.epoch - 1];
    assert.equal(record.accuracy, validation.accuracy);
    assert.ok(Math.abs(record.loss - validation.loss) < 1e-5, "with the loss of the run");
    await Deno.writeTextFile(join(folder, "model.ts"), "// later\n", { append: true });
    const changed = await evaluate();
    assert.equal(changed.code, 2, changed.stdout);
    assert.match(
      changed.stderr,
      /was made with another version of file:.*SHA-256 \w{12}, here it is/,
    );
  }));

/**
 * Values that are not finite, and sets of which nothing can be used.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { evaluate, openEngine, predict, train } from "../../mod.ts";
import { exists } from "../../src/base/paths.ts";
import { validateConfig } from "../../src/config/load.ts";
import { createModel } from "../../src/models/create_model.ts";
import { parametersOf } from "../../src/models/parameters.ts";
import { readHistory } from "../../src/records/history.ts";
import { silentReporter } from "../../src/events/reporter.ts";
import { readCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { setState, stateOf } from "../../src/train/load_weights.ts";
import { makeImages, transformsFor } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { newestRun, tinyConfig } from "../support/tiny_run.ts";
import { moduleConfig, writeModules } from "../support/user_modules.ts";
import type { Case } from "./case.ts";

/** Runs a training that fails, and returns its message. */
async function failureOf(config: Parameters<typeof validateConfig>[0]): Promise<string> {
  try {
    await train(validateConfig(config));
  } catch (error) {
    return (error as Error).message;
  }
  return "it did not fail";
}

/** Returns the message about a config, or an empty string. */
function problemOf(trainKeys: Record<string, unknown>, normalize?: Record<string, number[]>) {
  const config = tinyConfig("x", { train: trainKeys });
  if (normalize) {
    config.data = { ...config.data, val: [{ CenterCrop: 20 }, { Normalize: normalize }] } as never;
  }
  try {
    validateConfig(config);
  } catch (error) {
    return (error as Error).message;
  }
  return "";
}

/** A schedule that multiplies the rate by 1e20 after each epoch. */
const BLOW_UP = { lr: 1e-4, schedule: { name: "ExponentialLR", gamma: 1e20 } } as const;

async function blownUpRun(): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { classes: ["a", "b"], train: 6, val: 4 });
    const config = tinyConfig(root, { train: { epochs: 3, batchSize: 12, ...BLOW_UP } });
    const message = await failureOf(config);
    assert.match(message, /NaN or infinite for 8 of 8 validation images/);
    const run = await newestRun(join(folder, "runs"));
    const history = await readHistory(run);
    assert.deepEqual([history.epochs.length, history.best.epoch], [1, 1]);
    // The loss of the epoch that failed in its validation is on record, in the table too.
    assert.deepEqual(history.losses.map(({ epoch, step }) => [epoch, step]), [[1, 1], [2, 1]]);
    assert.ok(history.losses.every(({ loss }) => Number.isFinite(loss)));
    const table = await Deno.readTextFile(join(run, "losses.csv"));
    assert.deepEqual(table.match(/^\d+,\d+,\d+,train/gm), ["12,1,1,train", "24,2,1,train"]);
    assert.equal((await readCheckpoint(join(run, "checkpoints", "best"))).info.epoch, 1);
    const steep = { name: "ExponentialLR", gamma: 1e30 } as const;
    assert.match(
      await failureOf(tinyConfig(root, { train: { epochs: 3, batchSize: 12, schedule: steep } })),
      /train\.schedule \(ExponentialLR\) brings the learning rate 0\.02 to 2\.0*2?e\+58 in epoch 3, which is infinite in float32/,
    );
  });
}

async function blownUpEpoch(): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { classes: ["a", "b"], train: 4, val: 2 });
    const config = tinyConfig(root, {
      model: { name: "squeezenet1_1", weights: "none" },
      train: { epochs: 1, batchSize: 8, lr: 1e30, momentum: 0 },
    });
    assert.match(
      await failureOf(config),
      /output is NaN or infinite for 4 of 4 validation images \(val\/a\/0\.jpg.*: lower train\.lr \(1e\+30\)/,
    );
    const run = await newestRun(join(folder, "runs"));
    const { epochs, validations, losses, best } = await readHistory(run);
    assert.deepEqual([epochs, validations, best.epoch], [[], [], 0]);
    assert.deepEqual(losses.map(({ step }) => step), [1]);
    assert.equal(await exists(join(run, "predictions.csv")), false);
    assert.equal(await exists(join(run, "checkpoints", "best")), false);
  });
}

async function wildWeights(): Promise<void> {
  await openEngine();
  const model = createModel("plain_cnn", { numClasses: 2 });
  try {
    const state = stateOf(parametersOf(model));
    const bias = state.get("fc.bias")!;
    const load = (data: Uint8Array, dtype = "float32") =>
      setState(model, new Map(state).set("fc.bias", { ...bias, data, dtype } as never), "w.pth");
    const bytes = (values: Float32Array | Float64Array) => new Uint8Array(values.buffer);
    assert.throws(() => load(bytes(Float32Array.of(0, NaN))), /tensor fc\.bias holds NaN at \[1\]/);
    assert.throws(() => load(bytes(Float32Array.of(-Infinity, 0))), /holds -Infinity at \[0\]/);
    assert.throws(() => load(new Uint8Array(2), "int8"), /tensor fc\.bias is int8, and parameters/);
    assert.throws(() => load(new Uint8Array(2), "bool"), /tensor fc\.bias is bool/);
    assert.throws(
      () => load(bytes(Float64Array.of(1, 1e39)), "float64"),
      /fc\.bias holds 1e\+39 at \[1\], which is too large for float32/,
    );
    load(bytes(Float64Array.of(1, 2)), "float64");
  } finally {
    model.dispose();
  }
}

async function wildOutputs(): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { classes: ["a", "b"], train: 4, val: 2 });
    const { folder: run } = await train(
      validateConfig(tinyConfig(root, { train: { epochs: 1, batchSize: 8 } })),
    );
    // Finite weights whose products are not: only the output can tell.
    const { loadCheckpoint } = await import("../../mod.ts");
    const { writeCheckpoint } = await import("../../src/checkpoint/checkpoint.ts");
    const best = join(run, "checkpoints", "best");
    const { info, model: tensors } = await readCheckpoint(best);
    const huge = new Map(
      [...tensors].map(([name, tensor]) => [name, {
        ...tensor,
        data: new Uint8Array(new Float32Array(tensor.data.byteLength / 4).fill(1e30).buffer),
      }]),
    );
    const { checkpointVersion: _, lockstep: __, sha256: ___, ...facts } = info;
    await writeCheckpoint(join(run, "checkpoints"), "best", facts as never, { model: huge });
    const errors: string[] = [];
    await assert.rejects(async () => {
      for await (const result of predict(run, [join(root, "val")])) {
        errors.push("error" in result ? result.error : "a class");
      }
    }, /The network's output is NaN or infinite for 4 of 4 predicted images/);
    assert.deepEqual(errors, new Array(4).fill("the network's output is NaN or infinite"));
    const { model } = await loadCheckpoint(best);
    await assert.rejects(
      evaluate(model, root, { transforms: transformsFor(20) }),
      /output is NaN or infinite for 4 of 4 validation images/,
    );
    model.dispose();
  });
}

async function nothingUsable(): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    const dataOf = (split: string, throws: string) => `
      const image = (i) => ({ width: 12, height: 12, data: new Uint8Array(144).fill(i) });
      const sample = (i, { split }) => {
        if (split === "${split}" && (${throws})) throw new Error("gone");
        return { image: image(i), label: i % 3 };
      };
      export const createDataset = () => ({ classes: ["x", "y", "z"],
        train: { length: 12, sample, labels: Array.from({ length: 12 }, (_, i) => i % 3) },
        val: { length: 6, sample, labels: Array.from({ length: 6 }, (_, i) => i % 3) } });`;
    const said = async (split: string, throws: string) => {
      const own = await Deno.makeTempDir({ dir: folder });
      await writeModules(own, { data: dataOf(split, throws) });
      return await failureOf(
        moduleConfig(own, { data: { onError: "skip" }, train: { epochs: 1 } }),
      );
    };
    assert.match(
      await said("train", "i % 3 === 1"),
      /None of the 4 training images of class "y" could be used \(train#\d+: .*gone/,
    );
    assert.match(await said("val", "true"), /None of the 6 validation images could be used/);
  });
}

async function wildModules(): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    const own = async (texts: Parameters<typeof writeModules>[1]) => {
      const place = await Deno.makeTempDir({ dir: folder });
      await writeModules(place, texts);
      return place;
    };
    const nanImage = await own({
      data: `
        const pixels = (v) => ({ width: 12, height: 12, data: new Float32Array(432).fill(v) });
        export const createDataset = () => ({ classes: ["x", "y", "z"],
          train: { length: 9, sample: (i) => ({ image: pixels(i / 9), label: i % 3 }) },
          val: { length: 6, sample: (i) => ({ image: pixels(i === 5 ? NaN : 0), label: i % 3 }) } });`,
    });
    assert.match(
      await failureOf(moduleConfig(nanImage, { train: { epochs: 1 } })),
      /val#5.* its value at row 0, column 0, channel 0 is NaN: give finite floats/,
    );
    const loss = await own({
      loss: "export const lossPerSample = (logits, _, tf) => tf.mul(tf.sum(logits, 1), NaN);",
    });
    assert.match(
      await failureOf(moduleConfig(loss)),
      /loss\.ts is NaN or infinite for finite outputs/,
    );
    const metric = await own({
      metrics: "export const wild = ({ logits }, tf) => tf.fill([logits.shape[0]], Infinity);",
    });
    const warnings: string[] = [];
    const reporter = { ...silentReporter(), warn: (line: string) => void warnings.push(line) };
    const config = moduleConfig(metric, { train: { epochs: 2 } });
    const { history } = await train(validateConfig(config), { reporter });
    assert.ok(warnings.some((line) => /^wild of file:.*is NaN or infinite in epoch 1/.test(line)));
    assert.deepEqual(history.epochs.map(({ metrics }) => metrics!.wild), [NaN, NaN]);
    assert.match(
      await failureOf({ ...config, checkpoint: { monitor: "wild" } }),
      /checkpoint\.monitor is wild, which was NaN or infinite after each of 2 epochs/,
    );
  });
}

function wildConfigs(): void {
  assert.match(
    problemOf({ classWeights: [1e300, 1] }),
    /train\.classWeights\.0 is 1e\+300: give 0, or a weight from 1e-12 to 1000000000000/,
  );
  assert.match(problemOf({ classWeights: [1, 1e38] }), /classWeights\.1 is 1e\+38: give 0/);
  assert.match(problemOf({ classWeights: { a: 1e-38 } }), /classWeights\.a is 1e-38: give 0/);
  assert.match(
    problemOf({ classWeights: { a: 1e-46 } }),
    /train\.classWeights\.a is 1e-46: give 0, or a weight from 1e-12/,
  );
  assert.match(problemOf({ lr: 1e39 }), /train\.lr is 1e\+39: it is infinite/);
  assert.match(problemOf({ lr: NaN }), /train\.lr is NaN/);
  assert.match(problemOf({ optimizer: "adam", eps: 1e-50 }), /train\.eps is 1e-50: it is 0/);
  assert.match(
    problemOf({ optimizer: "adam", betas: [0.9, 0.999999999] }),
    /betas\.1 .* it is 1 in float32/,
  );
  const std = (value: number) => problemOf({}, { mean: [0, 0, 0], std: [value, 1, 1] });
  assert.match(std(1e-46), /Normalize\.std\.0 is 1e-46: it is 0 in float32/);
  assert.match(std(1e39), /Normalize\.std\.0 is 1e\+39: it is infinite/);
  assert.equal(std(0.2), "");
}

async function heavyClasses(): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { classes: ["a", "b"], train: 4, val: 2 });
    const train = { epochs: 3, batchSize: 8, classWeights: [1e12, 1e12] };
    // Without a mix the mean divides by the weights; with one, by the number of samples.
    const config = tinyConfig(root, { train });
    config.data.mix = [{ MixUp: 0.2 }];
    assert.match(
      await failureOf(config),
      /NaN or infinite .*: lower train\.lr \(0\.02\), give smaller train\.classWeights \(the largest is 1000000000000\) or look at/,
    );
  });
}

/** The rows of this area. */
export const CASES: Case[] = [
  { name: "nan_becomes_best", must: "fails, and the good epoch stays best", run: blownUpRun },
  { name: "one epoch at lr 1e30", must: "fails, and leaves no best", run: blownUpEpoch },
  { name: "weights that are no finite floats", must: "are refused by tensor", run: wildWeights },
  { name: "outputs that are not finite", must: "are counted, and fail", run: wildOutputs },
  { name: "onError: skip with nothing usable", must: "names set and class", run: nothingUsable },
  {
    name: "user modules that give NaN or infinity",
    must: "are named, never best",
    run: wildModules,
  },
  {
    name: "class weights of 1e12",
    must: "are named when the loss overflows",
    run: heavyClasses,
  },
  { name: "numbers beyond float32", must: "are refused with their keys", run: wildConfigs },
];

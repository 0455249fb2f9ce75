/**
 * Cases of commands with a checkpoint or a record that holds non-finite values.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  evaluate,
  loadCheckpoint,
  openEngine,
  predict,
  resumeComparison,
  train,
} from "../../mod.ts";
import { exists } from "../../src/base/paths.ts";
import { validateConfig } from "../../src/config/load.ts";
import { evaluateRun } from "../../src/evaluation/evaluate_run.ts";
import { tf } from "../../src/engine/tf.ts";
import { exportRun } from "../../src/export/export_run.ts";
import { parametersOf } from "../../src/models/parameters.ts";
import { readHistory } from "../../src/records/history.ts";
import { silentCompareReporter } from "../../src/compare/compare_reporter.ts";
import { writeComparison } from "../../src/compare/comparison.ts";
import { encodeWithDigest } from "../../src/checkpoint/checkpoint_digest.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/weights/safetensors.ts";
import { filledModel, madeConfig, writeRun } from "../support/filled_run.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runCommand, tinyConfig } from "../support/tiny_run.ts";
import { moduleConfig, writeModules } from "../support/user_modules.ts";
import type { Case } from "./case.ts";

const SIDE = 20;
const CLASSES = ["a", "b"];

/** A run that nobody trained, and images for it; each weight is multiplied by `factor`. */
async function madeRun(folder: string, factor: number): Promise<{ run: string; root: string }> {
  const root = join(folder, "images");
  await makeImages(root, { classes: CLASSES, train: 2, val: 2 });
  await openEngine();
  const model = filledModel("plain_cnn", { numClasses: CLASSES.length });
  const run = join(folder, "run");
  try {
    tf.tidy(() => {
      for (const { variable } of parametersOf(model)) variable.assign(tf.mul(variable, factor));
    });
    const config = madeConfig({ name: "plain_cnn" }, SIDE, {
      workers: 1,
      liveness: { lostAfter: 60 },
    });
    await writeRun(run, { ...config, data: { ...config.data, root } }, model, CLASSES);
  } finally {
    model.dispose();
  }
  return { run, root };
}

/** Puts a value into a tensor of a run's best checkpoint, and makes its digests fit. */
async function putInto(run: string, name: string, value: number): Promise<void> {
  const best = join(run, "checkpoints", "best");
  const weights = join(best, "model.safetensors");
  const { tensors, metadata } = decodeSafetensors(await Deno.readFile(weights), weights);
  new DataView(tensors.get(name)!.data.buffer, tensors.get(name)!.data.byteOffset)
    .setFloat32(4, value, true);
  const bytes = encodeSafetensors(tensors, metadata) as Uint8Array<ArrayBuffer>;
  await Deno.writeFile(weights, bytes);
  const path = join(best, "checkpoint.json");
  const info = JSON.parse(await Deno.readTextFile(path));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  delete info.digest;
  info.sha256["model.safetensors"] = digest;
  await Deno.writeFile(path, encodeWithDigest(info));
}

async function commandsOnWildOutputs(): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    const { run, root } = await madeRun(folder, 1e15);
    const count = /is NaN or infinite for 4 of 4 (predicted|validation) images/;
    const [predicted, evaluated] = await Promise.all([
      runCommand(["predict", "--run", run, "--json", join(root, "val")], folder),
      runCommand(["evaluate", "--run", run, "--workers", "1"], folder),
    ]);
    assert.equal(predicted.code, 1, predicted.stderr);
    assert.match(predicted.stderr, count);
    const lines = predicted.stdout.trim().split("\n").map((line) => JSON.parse(line));
    assert.equal(lines.length, 4);
    for (const line of lines) {
      assert.equal(line.error, "the network's output is NaN or infinite");
      assert.equal(line.predictions, undefined);
    }
    assert.equal(evaluated.code, 1, evaluated.stderr);
    assert.match(evaluated.stderr, count);
    assert.match(evaluated.stderr, /nothing was written; evaluate another checkpoint/);
    await assert.rejects(evaluateRun({ run, workers: 1 }), count);
    assert.equal(await exists(join(run, "evaluation", "evaluation.json")), false);
    await assert.rejects(
      exportRun({
        ...{ run, checkpoint: "best", formats: ["tfjs"] },
        ...{ out: join(folder, "out"), verbose: false },
      }),
      /NaN or infinite/,
    );
    assert.equal(await exists(join(folder, "out")), false);
  });
}

/** The weights are such that the outputs would be finite, were NaN dropped on the way to them. */
async function overflowInside(): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    const { run, root } = await madeRun(folder, 1e25);
    const message = /is NaN or infinite for 4 of 4 .* images .*, from the layer conv2 on: /;
    const evaluated = await runCommand(["evaluate", "--run", run, "--workers", "1"], folder);
    assert.equal(evaluated.code, 1, evaluated.stderr);
    assert.match(evaluated.stderr, message);
    const { model } = await loadCheckpoint(join(run, "checkpoints", "best"));
    try {
      await assert.rejects(evaluate(model, root), message);
      const paths = [join(root, "val")];
      const options = { batchSize: 4 }; // one full batch, which is captured
      await assert.rejects(
        Array.fromAsync(predict(run, paths, options)),
        message,
      );
    } finally {
      model.dispose();
    }
  });
}

async function commandsOnWildWeights(): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    const { run } = await madeRun(folder, 1);
    await putInto(run, "fc.bias", NaN);
    const out = join(folder, "out");
    for (const formats of [["safetensors"], ["torchvision"], ["tfjs"]] as const) {
      await assert.rejects(
        exportRun({ run, checkpoint: "best", formats, out, verbose: false }),
        /best.*: tensor fc\.bias holds NaN at \[1\]: give weights that are finite/,
      );
    }
    assert.equal(await exists(out), false);
  });
}

/** The metric is infinite as long as the network is unsure of an image: after the first epochs. */
const UNSURE = `
export const late = ({ probabilities }, tf) => {
  const sure = tf.max(probabilities, 1);
  return tf.where(tf.less(sure, 0.6), tf.fill(sure.shape, Infinity), sure);
};`;

async function resumedMetric(): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    await writeModules(folder, { metrics: UNSURE });
    const run = join(folder, "stopped");
    const config = validateConfig(
      moduleConfig(folder, { train: { epochs: 3 }, checkpoint: { monitor: "late" } }),
    );
    const { history: whole } = await train(config);
    assert.ok(Number.isNaN(whole.epochs[0].metrics!.late), "not finite in the first epoch");
    assert.equal(whole.best.epoch, 3);
    await assert.rejects(
      train(config, {
        folder: run,
        onEpoch: ({ epoch }) => epoch === 2 ? "stop" : undefined,
      }),
      /checkpoint\.monitor is late, which was NaN or infinite after each of 2 epochs/,
    );
    await train(config, { resume: run });
    const resumed = await readHistory(run);
    assert.deepEqual(
      resumed.epochs.map(({ metrics }) => metrics),
      whole.epochs.map(({ metrics }) => metrics),
    );
    assert.equal(resumed.best.epoch, whole.best.epoch);
  });
}

async function comparedMetric(): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    const epoch = (number: number, loss: number, metrics: Record<string, number>) => ({
      ...{ epoch: number, learningRate: 0.1, train: { loss: 0.5, accuracy: 0.5 } },
      ...{ validation: { loss, accuracy: number / 10, count: 4 }, metrics },
      ...{ seconds: 1, imagesPerSecond: 4 },
    });
    const config = validateConfig(tinyConfig("images", { train: { epochs: 2 } }));
    const variant = (id: string, epochs: ReturnType<typeof epoch>[]) => ({
      ...{ id, label: id, config, differences: {} },
      runs: [{ seed: 0, folder: id, status: "finished" as const, epochs }],
    });
    await writeComparison(folder, {
      ...{ comparisonVersion: 1, name: "wild", created: "2026-01-02T03:04:05.000Z" },
      variants: [
        variant("metric", [epoch(1, 0.5, { own: 0.2 }), epoch(2, 0.5, { own: NaN })]),
        variant("loss", [epoch(1, 0.5, { own: 0.2 }), epoch(2, Infinity, { own: 0.2 })]),
        variant("fine", [epoch(1, 0.5, { own: 0.2 }), epoch(2, 0.5, { own: 0.2 })]),
      ],
    });
    const warnings: string[] = [];
    const reporter = {
      ...silentCompareReporter(),
      warn: (line: string) => void warnings.push(line),
    };
    await resumeComparison(folder, { reporter });
    const [metric, loss, ...more] = warnings.filter((line) => /NaN or infinite/.test(line));
    assert.match(
      metric,
      /metric: 1 of 2 epochs have .* \(epoch 2\): they stand as null in comparison\.json$/,
    );
    assert.match(loss, /loss: 1 of 2 epochs .*; an epoch with such a loss .* is never the best$/);
    assert.deepEqual(more, []);
  });
}

async function wildStart(): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    await writeModules(folder, {
      model:
        `export const createModel = ({ inputShape, numClasses }, tf) => tf.sequential({ layers: [
        tf.layers.flatten({ inputShape }),
        tf.layers.dense({ name: "head", units: numClasses, weights:
          [tf.zeros([432, 3]), tf.tensor1d([0, NaN, 0])] }),
      ] });`,
    });
    await assert.rejects(
      train(validateConfig(moduleConfig(folder))),
      /model\.module: the network of .*model\.ts begins with NaN in head\.bias: give it initial values/,
    );
    assert.equal(await exists(join(folder, "runs")), false);
  });
}

/** The rows of this area. */
export const CASES: Case[] = [
  {
    name: "predict, evaluate, export with outputs that are not finite",
    must: "exit with 1 and the count, and write nothing",
    run: commandsOnWildOutputs,
  },
  {
    name: "evaluate, predict with a network that overflows inside",
    must: "exit with 1 and the first layer whose output isn't finite",
    run: overflowInside,
  },
  {
    name: "export of weights that are not finite",
    must: "is refused by tensor",
    run: commandsOnWildWeights,
  },
  {
    name: "a network of one's own that begins with NaN",
    must: "is refused by parameter before a run folder is made",
    run: wildStart,
  },
  {
    name: "a metric that was infinite before a resume",
    must: "gives the best of an undisturbed run",
    run: resumedMetric,
  },
  {
    name: "compare with losses and metrics that are not finite",
    must: "warns of what is null in its files",
    run: comparedMetric,
  },
];

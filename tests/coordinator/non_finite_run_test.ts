import assert from "node:assert/strict";
import { join } from "node:path";
import { type ConfigInput, train } from "../../mod.ts";
import { readCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { readEvents } from "../../src/records/event_log.ts";
import { readHistory } from "../../src/records/history.ts";
import { trainUntil } from "../support/interrupted_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState } from "../support/tiny_run.ts";
import { moduleConfig, writeModules } from "../support/user_modules.ts";

/** A network that divides each image by its brightest value: a black image is 0 / 0. */
const MODEL = `
export function createModel({ inputShape, numClasses }, tf) {
  class Brighten extends tf.layers.Layer {
    static className = "Brighten";
    call(inputs) {
      const x = [inputs].flat()[0];
      return tf.div(x, tf.max(x, [1, 2, 3], true));
    }
    computeOutputShape(shape) { return shape; }
  }
  return tf.sequential({ layers: [
    tf.layers.conv2d({ inputShape, filters: 4, kernelSize: 1, useBias: false, name: "first",
      kernelInitializer: "ones", trainable: false }),
    new Brighten({ name: "brighten" }),
    tf.layers.conv2d({ filters: 6, kernelSize: 3, name: "conv" }),
    tf.layers.batchNormalization({ name: "norm" }),
    tf.layers.flatten(),
    tf.layers.dense({ name: "head", units: numClasses }),
  ] });
}
`;

/** 24 + 6 images, of which those of an index in `black` are black. */
const dataWith = (black: readonly number[]) => `
const BLACK = new Set(${JSON.stringify(black)});
const image = (index) => ({
  width: 12, height: 12,
  data: Uint8Array.from({ length: 432 }, (_, at) =>
    BLACK.has(index) ? 0 : 1 + 70 * (index % 3) + (at * 2654435761 + index * 40503) % 61),
});
const samples = (length, first) => ({
  length,
  sample: (index) => ({
    image: image(first + index), label: (first + index) % 3, name: "image-" + (first + index),
  }),
});
export const createDataset = () => ({
  classes: ["dark", "middle", "light"], train: samples(24, 0), val: samples(6, 300),
});
`;

/** Pixels stay from 0 to 1. */
const PLAIN = [{ CenterCrop: 12 }];

/** Six steps per epoch. */
function configIn(folder: string, changes: Partial<ConfigInput> = {}): ConfigInput {
  const { train, ...others } = changes;
  const config = moduleConfig(folder, {
    workers: 2,
    data: { train: PLAIN, val: PLAIN },
    train: {
      ...{ epochs: 2, batchSize: 4, lr: 1e-3, optimizer: "adam", clipGradNorm: 1 },
      ...{ ema: { decay: 0.5 }, onNonFinite: "skip", maxNonFiniteSteps: 2 },
      ...train,
    } as ConfigInput["train"],
  });
  return { ...config, ...others };
}

/** The facts of a run's folder that depend on the steps that were taken. */
async function factsOf(folder: string) {
  const { info } = await readCheckpoint(join(folder, "checkpoints", "last"));
  const { epochs, losses } = await readHistory(folder);
  return {
    nonFinite: epochs.map(({ nonFiniteSteps }) => nonFiniteSteps),
    counts: info.nonFinite,
    optimizerSteps: info.optimizerSteps,
    losses: [...epochs.map(({ train }) => train.loss), ...losses.map(({ loss }) => loss)],
    sha256: (await lastState(folder)).sha256,
  };
}

Deno.test("runs with train.onNonFinite: skip leave out steps that aren't finite, alike on all ranks and exchanges", () =>
  withTemporaryFolder(async (folder) => {
    await writeModules(folder, { model: MODEL, data: dataWith([7, 15]) });
    const shared = await train(configIn(folder, { name: "shared", exchange: "shared-memory" }));
    const whole = await factsOf(shared.folder);
    const skipped = whole.nonFinite as number[];
    for (const count of skipped) assert.ok(count === 1 || count === 2, `${count} of 6 steps`);
    assert.equal(whole.optimizerSteps, 12 - skipped[0] - skipped[1]);
    assert.ok(whole.losses.every(Number.isFinite), String(whole.losses));
    const csv = await Deno.readTextFile(join(shared.folder, "history.csv"));
    assert.match(
      csv,
      new RegExp(`,non_finite_steps\n(.*,${skipped[0]})\n(.*,${skipped[1]})\n$`),
    );
    const events = (await readEvents(shared.folder)).filter(({ type }) => type === "stepSkipped");
    assert.equal(events.length, skipped[0] + skipped[1]);
    const log = await Deno.readTextFile(join(shared.folder, "run.log"));
    assert.match(log, /Loss or gradients became NaN or infinite on rank \d in epoch 1, step \d/);
    assert.match(log, /non-finite steps? skipped/);
    const report = await Deno.readTextFile(join(shared.folder, "report.html"));
    assert.match(report, /\d steps skipped, whose loss or gradients were not finite/);
    const { model } = await lastState(shared.folder);
    assert.ok(model.every(Number.isFinite), "no statistics of a skipped step");
    // The first one is computed again.
    const origins = log.match(
      /is in the output of layer brighten for train#(7|15) \(1 of 2 images\)/g,
    );
    assert.equal(origins?.length, 1, log);

    const nats = await train(configIn(folder, { name: "nats", exchange: "nats" }));
    assert.deepEqual(await factsOf(nats.folder), whole);
  }));

Deno.test("the count of skipped steps in a row goes on in a resumed run, and ends it at the limit", () =>
  withTemporaryFolder(async (folder) => {
    await writeModules(folder, { model: MODEL, data: dataWith([...Array(24).keys()]) });
    const cut = configIn(folder, { name: "cut" });
    const place = await trainUntil(cut, { epoch: 1, step: 1 });
    const { info } = await readCheckpoint(join(place, "checkpoints", "last"));
    assert.deepEqual([info.nonFinite, info.optimizerSteps], [
      { inARow: info.step, ofEpoch: info.step },
      0,
    ]);
    await assert.rejects(
      train(cut, { resume: place }),
      /NaN or infinite on rank 0 in epoch 1, step 2, no update was made, and 2 steps before it were skipped, as many as train\.maxNonFiniteSteps allows in a row; computed again, the first value that isn't finite is in the output of layer brighten: lower/,
    );
  }));

Deno.test("a run that synchronizes BatchNorm names the layer too, computed by its rank alone, and ends at once", () =>
  withTemporaryFolder(async (folder) => {
    await writeModules(folder, { model: MODEL, data: dataWith([...Array(24).keys()]) });
    const config = configIn(folder, {
      exchange: "nats",
      train: { maxNonFiniteSteps: 1, syncBatchNorm: true } as ConfigInput["train"],
    });
    await assert.rejects(
      train(config),
      /on rank 0 in epoch 1, step 1, no update was made, and 1 step before it was skipped, .*; computed again without the other ranks' rows, the first value that isn't finite is in the output of layer brighten: lower/,
    );
  }));

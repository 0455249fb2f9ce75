import { hostOf } from "../../src/engine/device_memory.ts";
import assert from "node:assert/strict";
import fixture from "../fixtures/models/batchnorm.json" with { type: "json" };
import { openEngine } from "../../src/engine/engine.ts";
import { trainingBatchNorm } from "../../src/engine/native_ops.ts";
import { tf } from "../../src/engine/tf.ts";
import { adaptLayers } from "../../src/models/adapt_layers.ts";
import { batchCountsOf, countBatches } from "../../src/models/batch_counts.ts";
import type { ModelName } from "../../src/models/registry.ts";
import { createModel } from "../../src/models/create_model.ts";
import { findSingleValue } from "../../src/models/single_value.ts";
import { setState, stateOf } from "../../src/train/load_weights.ts";
import { Replica, type ReplicaOptions } from "../../src/train/replica.ts";
import { assertWithin } from "../models/fixture_model.ts";

await openEngine();

const SIDE = 32;

function makeModel(name: ModelName = "resnet18", freezeBatchNorm = false) {
  return createModel(name, { numClasses: 3, seed: 5, freezeBatchNorm });
}

function makeReplica(options: Partial<ReplicaOptions> = {}) {
  return new Replica(makeModel(), { optimizer: makeOptimizer(), capture: true, ...options });
}

function makeBatch(labels: readonly number[]) {
  const images = Float32Array.from(
    { length: labels.length * SIDE * SIDE * 3 },
    (_, index) => Math.sin(index * 12.9898) * 1.5,
  );
  return { images, labels: Int32Array.from(labels), height: SIDE, width: SIDE };
}

const PLACE = { seed: [9, 1], globalRows: 3, rowOffset: 0 } as const;

/** Gradients and statistics in a replica's vector. */
function vectorOf({ state: { buffers, gradientBytes } }: Replica) {
  const vector = hostOf(buffers.vector);
  const floats = new Float32Array(vector.slice().buffer);
  return {
    gradients: floats.slice(0, gradientBytes / 4),
    statistics: floats.slice(gradientBytes / 4),
  };
}

Deno.test("trainingBatchNorm() follows PyTorch with few values per channel, Bessel's correction included", () => {
  for (const { shape, x, y, dx, runningMean, runningVar } of fixture.content.cases) {
    tf.tidy(() => {
      const state = {
        gamma: tf.ones([2]) as tf.Tensor1D,
        beta: tf.zeros([2]) as tf.Tensor1D,
        movingMean: tf.zeros([2]) as tf.Tensor1D,
        movingVariance: tf.ones([2]) as tf.Tensor1D,
      };
      const input = tf.tensor4d(x, shape as [number, number, number, number]);
      const result = trainingBatchNorm(input, state, 0.1, 1e-5);
      const about = `of ${shape}`;
      assertWithin([...result.y.dataSync()], y, 1e-4, `outputs ${about}`);
      assertWithin([...result.movingMean.dataSync()], runningMean, 1e-6, `means ${about}`);
      assertWithin([...result.movingVariance.dataSync()], runningVar, 1e-6, `variances ${about}`);
      const cubes = (own: tf.Tensor) =>
        tf.sum(tf.pow(trainingBatchNorm(own as tf.Tensor4D, state, 0.1, 1e-5).y, 3)) as tf.Scalar;
      const gradients = tf.grad(cubes)(input).dataSync();
      gradients.forEach((value, index) =>
        assert.ok(Math.abs(value - dx[index]) < 1e-4, `gradients ${about}: ${value}, ${dx[index]}`)
      );
    });
  }
  assert.match(
    fixture.content.single,
    /more than 1 value per channel/,
    "PyTorch refuses a single one",
  );
});

Deno.test("findSingleValue() names the layer that has a map of 1 × 1, and changes nothing", () => {
  using model = Object.assign(makeModel(), {
    [Symbol.dispose](this: tf.LayersModel) {
      this.dispose();
    },
  });
  const before = model.getWeights().map((weight) => weight.dataSync().slice());
  assert.equal(findSingleValue(model, [32, 32]), "layer4.0.downsample.1");
  assert.equal(findSingleValue(model, [33, 32]), undefined, "2 × 1");
  assert.equal(findSingleValue(model, [64, 64]), undefined);
  assert.deepEqual(model.getWeights().map((weight) => weight.dataSync().slice()), before);
  assert.equal(findSingleValue(makeModel("resnet18", true), [32, 32]), undefined, "frozen");
  assert.equal(findSingleValue(makeModel("plain_cnn"), [32, 32]), undefined, "no BatchNorm");
  // The auxiliary head alone: 5 × 5 maps become 1 × 1.
  assert.equal(findSingleValue(makeModel("inception_v3"), [299, 299]), "AuxLogits.conv1.bn");
});

Deno.test("findSingleValue() knows a user's own layers, whatever their axis and shape", () => {
  const build = (...layers: tf.layers.Layer[]) => {
    const model = tf.sequential();
    model.add(tf.layers.inputLayer({ inputShape: [4, 4, 3] }));
    for (const layer of layers) model.add(layer);
    adaptLayers(model, "file:///m.ts");
    return model;
  };
  const norm = (axis?: number) =>
    tf.layers.batchNormalization({ name: "own", ...(axis === undefined ? {} : { axis }) });
  const flat = build(tf.layers.flatten(), norm(), tf.layers.dense({ units: 3 }));
  assert.equal(findSingleValue(flat, [4, 4]), "own", "features without a map");
  const maps = build(norm(), tf.layers.flatten(), tf.layers.dense({ units: 3 }));
  assert.equal(findSingleValue(maps, [4, 4]), undefined);
  const pooled = build(
    tf.layers.globalAveragePooling2d({ dataFormat: "channelsLast" }),
    tf.layers.reshape({ targetShape: [3, 1] }),
    norm(1),
    tf.layers.flatten(),
    tf.layers.dense({ units: 3 }),
  );
  assert.equal(findSingleValue(pooled, [4, 4]), "own", "another axis");
});

Deno.test("forwardBackward() leaves an image by itself out of the running statistics, and learns from it", async () => {
  using whole = makeReplica();
  const start = whole.state.exchanged.slice(whole.state.learning.length)
    .flatMap((variable) => [...variable.dataSync()]);
  const alone = await whole.forwardBackward(makeBatch([1]), PLACE);
  assert.deepEqual([alone.statisticsRows, alone.trackedBatches, alone.weight], [0, 0, 1]);
  assert.ok(vectorOf(whole).gradients.some((value) => value !== 0));
  const kept = vectorOf(whole).statistics.filter((value) => value !== 0);
  assert.deepEqual(kept, Float32Array.from(start.filter((value) => value !== 0)), "as they were");
  await whole.update({ rates: [0], step: 1, squares: 0, hasStatistics: false });

  // Parts of 2 and 1: the statistics are those of the first part.
  const two = await whole.forwardBackward(makeBatch([1, 0]), PLACE);
  assert.deepEqual([two.statisticsRows, two.trackedBatches], [2, 1]);
  const expected = vectorOf(whole).statistics;
  using parts = makeReplica({ accumulationSteps: 2 });
  const early: number[] = [];
  const three = await parts.forwardBackward(makeBatch([1, 0, 2]), PLACE, {
    bucketBytes: 1e6,
    onReady: (_, begin) => early.push(begin),
  });
  assert.deepEqual([three.statisticsRows, three.trackedBatches, three.weight], [2, 1, 3]);
  assert.deepEqual(vectorOf(parts).statistics, expected);
});

Deno.test("forwardBackward() of samples whose classes have weight 0 gives no gradient, but statistics", async () => {
  using weighted = makeReplica({
    loss: { loss: "crossEntropy", labelSmoothing: 0, classWeights: [0, 1, 2] },
  });
  const totals = await weighted.forwardBackward(makeBatch([0, 0, 0]), PLACE);
  assert.deepEqual([totals.weight, totals.lossSum, totals.statisticsRows], [0, 0, 3]);
  const { gradients, statistics } = vectorOf(weighted);
  assert.ok(gradients.every((value) => value === 0));
  using plain = makeReplica();
  await plain.forwardBackward(makeBatch([0, 0, 0]), PLACE);
  assert.deepEqual(statistics, vectorOf(plain).statistics);

  const before = await weighted.state.exportState();
  await weighted.step({ rates: [0.1], step: 1, squares: 0, learns: false });
  const learned = weighted.state.learning.reduce((sum, { size }) => sum + size, 0);
  assert.notDeepEqual(await weighted.state.exportState(), before, "the statistics moved");
  using still = makeReplica();
  const parametersOf = ({ state }: Replica) => state.learning.map((own) => own.dataSync().slice());
  assert.deepEqual(parametersOf(weighted), parametersOf(still), `none of ${learned} values moved`);
});

Deno.test("num_batches_tracked counts forward passes, is written, and is read again", () => {
  const model = makeModel();
  countBatches(model, fixture.content.numBatchesTracked);
  const state = stateOf([
    ...new Replica(model, {
      optimizer: makeOptimizer(),
      capture: false,
    }).state.parameters,
  ], batchCountsOf(model));
  const name = "layer4.1.bn2.num_batches_tracked";
  assert.deepEqual(state.get(name), {
    dtype: "int64",
    shape: [],
    data: Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0),
  });
  const again = makeModel();
  setState(again, state, "a file");
  countBatches(again, 2);
  assert.deepEqual([...new Set(batchCountsOf(again).values())], [8]);
  assert.equal(batchCountsOf(again).size, 20);
  const frozen = makeModel("resnet18", true);
  setState(frozen, state, "a file");
  countBatches(frozen, 2);
  assert.deepEqual([...new Set(batchCountsOf(frozen).values())], [6], "eval mode doesn't count");
});

function makeOptimizer() {
  return {
    settings: {
      optimizer: "sgd",
      momentum: 0,
      dampening: 0,
      weightDecay: 0,
      nesterov: false,
    },
    lr: 0.1,
  } as const;
}

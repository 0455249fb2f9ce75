import assert from "node:assert/strict";
import { floatsOf } from "../../src/base/float_range.ts";
import { hostOf } from "../../src/engine/device_memory.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { createModel, type ModelOptions } from "../../src/models/create_model.ts";
import type { ModelName } from "../../src/models/registry.ts";
import { optimizerConfig } from "../../src/optim/config.ts";
import {
  largestMicroBatch,
  microBatchesOf,
  type MicroBatching,
  microBatchSizes,
  validationBatching,
} from "../../src/train/micro_batches.ts";
import { Replica, type ReplicaOptions } from "../../src/train/replica.ts";
import { relativeDifference } from "../support/tiny_run.ts";

await openEngine();

const ROWS = 7, SIDE = 16, CLASSES = 3;
const FLOATS = SIDE * SIDE * 3;

Deno.test("microBatchSizes() divides rows into as few micro-batches as fit, of like size", () => {
  const cases: [number, MicroBatching, number[]][] = [
    [8, {}, [8]],
    [8, { microBatchSize: 8 }, [8]],
    [8, { microBatchSize: 100 }, [8]],
    [9, { microBatchSize: 8 }, [5, 4]],
    [7, { microBatchSize: 3 }, [3, 2, 2]],
    [5, { microBatchSize: 1 }, [1, 1, 1, 1, 1]],
    [10, { microBatchSize: 4, accumulationSteps: 1 }, [4, 3, 3]],
    [2, { microBatchSize: 4 }, [2]],
    [0, { microBatchSize: 4 }, []],
    [7, { accumulationSteps: 3 }, [3, 3, 1]],
    [2, { accumulationSteps: 3 }, [1, 1]],
    [0, { accumulationSteps: 3 }, []],
  ];
  for (const [rows, batching, expected] of cases) {
    assert.deepEqual(microBatchSizes(rows, batching), expected, JSON.stringify([rows, batching]));
    assert.equal(largestMicroBatch(rows, batching), expected[0] ?? 0);
  }
  // A validation step has four times the rows of one of training, and passes four times as large.
  assert.deepEqual(microBatchSizes(36, validationBatching({ microBatchSize: 4 })), [12, 12, 12]);
  assert.deepEqual(microBatchSizes(32, validationBatching({ accumulationSteps: 4 })), [8, 8, 8, 8]);
  assert.deepEqual(microBatchSizes(32, validationBatching({})), [32]);
});

function batchOf(rows: number) {
  const images = Float32Array.from(
    { length: rows * FLOATS },
    (_, index) => Math.sin(index * 12.9898) * 1.5,
  );
  const labels = Int32Array.from({ length: rows }, (_, row) => row % CLASSES);
  return { images, labels, height: SIDE, width: SIDE };
}

Deno.test("microBatchesOf() keeps each row's image, label, partner and position, without copies", () => {
  const { labels, ...rest } = batchOf(ROWS);
  const batch = {
    ...rest,
    labels,
    indices: Uint32Array.from({ length: ROWS }, (_, row) => 10 + row),
    mix: { partnerLabels: labels.toReversed(), share: 0.7 },
    unread: new Set([1, 5]),
  };
  const parts = microBatchesOf(batch, { microBatchSize: 3 });
  assert.deepEqual(parts.map(({ firstRow }) => firstRow), [0, 3, 5]);
  assert.deepEqual(parts.flatMap(({ part }) => [...part.labels]), [...labels]);
  assert.deepEqual(parts.map(({ part }) => part.mix!.share), [0.7, 0.7, 0.7]);
  assert.deepEqual(parts[1].part.indices, Uint32Array.of(13, 14));
  assert.deepEqual(parts[1].part.mix!.partnerLabels, labels.toReversed().subarray(3, 5));
  assert.deepEqual(parts.map(({ part }) => part.unread), [
    ...[new Set([1]), undefined, new Set([0])],
  ]);
  const second = parts[1].part.images as Float32Array;
  assert.equal(second.buffer, batch.images.buffer);
  assert.deepEqual([second.byteOffset, second.length], [4 * 3 * FLOATS, 2 * FLOATS]);
});

const ADAM = { settings: optimizerConfig({ optimizer: "adam", eps: 1e-4 }), lr: 0.002 };
const LOSS = { loss: "crossEntropy", labelSmoothing: 0.1, classWeights: [0.3, 1, 2.5] } as const;

function replicaOf(
  name: ModelName,
  options: Partial<ReplicaOptions>,
  model: Partial<ModelOptions> = {},
) {
  const made = createModel(name, { numClasses: CLASSES, seed: 5, ...model });
  const optimizer = { ...ADAM, clipGradNorm: 0.5 };
  return new Replica(made, { optimizer, loss: LOSS, capture: true, ...options });
}

/** Takes steps whose batches have fewer and fewer rows; returns the parameters and the totals. */
async function train(replica: Replica, rowsOfSteps: readonly number[]) {
  const totals = [];
  for (const [step, rows] of rowsOfSteps.entries()) {
    const place = { seed: [9, step], globalRows: rows, rowOffset: 0 } as const;
    const batch = { ...batchOf(rows), mix: { partnerLabels: new Int32Array(rows), share: 0.8 } };
    totals.push(await replica.forwardBackward(batch, place));
    const { state } = replica;
    await state.buffers.reduced.upload(hostOf(state.buffers.vector));
    const squares = state.sumSquares([state.buffers.shard]);
    await replica.step({ rates: [ADAM.lr], step: step + 1, squares });
  }
  return { parameters: floatsOf(await replica.state.exportState()).slice(), totals };
}

for (
  const { name, model, sizes, steps } of [
    { name: "plain_cnn", model: {}, sizes: [1, 3], steps: [ROWS, ROWS, 4, 1] },
    { name: "resnet18", model: { freezeBatchNorm: true }, sizes: [3], steps: [ROWS, 4] },
  ] as const
) {
  Deno.test(`steps of ${name} in micro-batches are those of whole batches: weights, mixed labels, clipping, Adam`, async () => {
    using whole = replicaOf(name, {}, model);
    const expected = await train(whole, steps);
    for (const microBatchSize of sizes) {
      using parts = replicaOf(name, { microBatchSize }, model);
      const { parameters, totals } = await train(parts, steps);
      const difference = relativeDifference(parameters, expected.parameters);
      assert.ok(difference < 1e-6, `micro-batches of ${microBatchSize}: ${difference}`);
      totals.forEach((each, step) => {
        const { lossSum, weight, correct, trackedBatches } = expected.totals[step];
        assert.ok(Math.abs(each.lossSum - lossSum) <= 1e-5 * lossSum);
        assert.deepEqual([each.weight, each.correct], [weight, correct]);
        assert.equal(each.trackedBatches, Math.ceil(steps[step] / microBatchSize));
        assert.equal(trackedBatches, 1);
      });
    }
  });
}

Deno.test("BatchNorm in training sees the micro-batches, which is all that a step of them changes", async () => {
  const side = { ...batchOf(4) };
  const place = { seed: [9, 1], globalRows: 4, rowOffset: 0 } as const;
  const vectors = [];
  for (const options of [{}, { microBatchSize: 2 }, { accumulationSteps: 2 }]) {
    using replica = replicaOf("resnet18", options);
    const { statisticsRows, trackedBatches } = await replica.forwardBackward(side, place);
    assert.equal(statisticsRows, 4);
    assert.equal(trackedBatches, Object.keys(options).length === 0 ? 1 : 2);
    vectors.push(floatsOf(hostOf(replica.state.buffers.vector)).slice());
  }
  assert.deepEqual(vectors[1], vectors[2], "equal bits, since they are the same parts");
  assert.ok(relativeDifference(vectors[1], vectors[0]) > 1e-3);
});

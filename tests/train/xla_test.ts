import assert from "node:assert/strict";
import type { CallOptions } from "../../src/engine/capture/call_options.ts";
import { CapturedFunction } from "../../src/engine/capture/capture.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { trainingBatchNorm } from "../../src/engine/native_ops.ts";
import { tf } from "../../src/engine/tf.ts";
import { averagePool, batchNorm, conv, linear, relu } from "../../src/models/blocks.ts";
import { createModel } from "../../src/models/create_model.ts";
import { parametersOf } from "../../src/models/parameters.ts";
import { Replica } from "../../src/train/replica.ts";
import { relativeDifference } from "../support/tiny_run.ts";

await openEngine();

const SGD = {
  settings: { optimizer: "sgd", momentum: 0.9, dampening: 0, weightDecay: 1e-3, nesterov: false },
  lr: 0.02,
} as const;

/** Tolerance of float32 sums in another order after three steps, over all parameters. */
const TOLERANCE = 1e-5;

const SIDE = 16;
const ROWS = 8;

/** Two convolutions with BatchNorm in training mode, and a linear layer. */
function smallBatchNormNet(): tf.LayersModel {
  const input = tf.input({ shape: [SIDE, SIDE, 3] });
  let x = relu("relu1", batchNorm("bn1", conv("conv1", input, { filters: 8, kernel: 3 })));
  x = relu("relu2", batchNorm("bn2", conv("conv2", x, { filters: 16, kernel: 3, stride: 2 })));
  const model = tf.model({ inputs: input, outputs: linear("fc", averagePool("pool", x), 3) });
  for (const [index, { variable, buffer }] of parametersOf(model).entries()) {
    if (buffer || variable.rank === 1) continue;
    const drawn = tf.randomNormal(variable.shape, 0, 0.3, "float32", index + 1);
    variable.assign(drawn);
    drawn.dispose();
  }
  return model;
}

/** Trains three steps; returns all parameters and statistics, and the losses. */
async function learn(model: tf.LayersModel, call: CallOptions) {
  using replica = new Replica(model, { optimizer: SGD, capture: true, call });
  const losses: number[] = [];
  for (let step = 0; step < 3; step++) {
    const images = Float32Array.from(
      { length: ROWS * SIDE * SIDE * 3 },
      (_, index) => Math.sin(index * index * 0.37 + step) * 1.5 + 0.5,
    );
    const labels = Int32Array.from({ length: ROWS }, (_, index) => (index + step) % 3);
    const batch = { images, labels, height: SIDE, width: SIDE };
    const place = { seed: [3, step], globalRows: ROWS, rowOffset: 0 } as const;
    losses.push((await replica.forwardBackward(batch, place)).lossSum / ROWS);
    await replica.step({ rates: [SGD.lr], step: step + 1, squares: 0 });
  }
  return { state: new Float32Array((await replica.state.exportState()).buffer), losses };
}

const NETWORKS: Record<string, () => tf.LayersModel> = {
  plain_cnn: () => createModel("plain_cnn", { numClasses: 3, seed: 5 }),
  "a small BatchNorm network": smallBatchNormNet,
};
for (const [name, make] of Object.entries(NETWORKS)) {
  Deno.test(`engine.xla gives ${name} the numbers of TensorFlow's kernels`, async () => {
    const own = await learn(make(), {});
    const compiled = await learn(make(), { xla: true });
    assert.ok(own.losses[0] !== own.losses[2], "it learns");
    const difference = relativeDifference(compiled.state, own.state);
    assert.ok(difference < TOLERANCE, `parameters differ by ${difference}`);
    assert.ok(difference > 0, "XLA's sums have an order of their own: was it used?");
  });
}

Deno.test("trainingBatchNorm() under XLA keeps its digits where the mean is far from 0", async () => {
  const channels = 16;
  const vector = (seed: number, low: number) =>
    tf.variable(tf.randomUniform([channels], low, low + 1, "float32", seed), false);
  const [gamma, beta, movingMean, movingVariance] = [1, 2, 3, 4].map((seed) => vector(seed, 0.5));
  const state = { gamma, beta, movingMean, movingVariance } as unknown as Parameters<
    typeof trainingBatchNorm
  >[1];
  const far = tf.randomNormal([8, 8, 8, channels], 3, 0.1, "float32", 5);
  const dy = tf.randomNormal(far.shape, 0, 1, "float32", 6);
  const compute = async (xla: boolean) => {
    const fn = new CapturedFunction(
      "batch_norm",
      (x, dy) => {
        let statistics: tf.Tensor[] = [];
        const gradients = tf.grads((x, scale, offset) => {
          const own = { ...state, gamma: scale as tf.Tensor1D, beta: offset as tf.Tensor1D };
          const result = trainingBatchNorm(x as tf.Tensor4D, own, 0.1, 1e-5);
          statistics = [result.y, result.movingMean, result.movingVariance].map((t) => tf.keep(t));
          return result.y;
        })([x, gamma, beta], dy);
        return [...statistics, ...gradients];
      },
      { variables: () => [gamma, beta, movingMean, movingVariance], capture: true, xla },
    );
    const results = await fn.call([far, dy]);
    const values = results.map((tensor) => tensor.dataSync() as Float32Array);
    tf.dispose(results);
    fn.dispose();
    return values;
  };
  const [own, compiled] = [await compute(false), await compute(true)];
  ["y", "running mean", "running variance", "dx", "dgamma", "dbeta"].forEach((what, index) => {
    const difference = relativeDifference(compiled[index], own[index]);
    // E[x²] − E[x]² would lose (3 / 0.1)² of 2²⁴.
    assert.ok(difference < 2e-5, `${what} differs by ${difference}`);
  });
  tf.dispose([gamma, beta, movingMean, movingVariance, far, dy]);
});

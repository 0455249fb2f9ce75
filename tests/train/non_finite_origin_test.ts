import assert from "node:assert/strict";
import { describeOrigin } from "../../src/coordinator/epochs/non_finite_origin.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { createModel } from "../../src/models/create_model.ts";
import { watchingLayers } from "../../src/models/watched_layers.ts";
import type { LossFunction } from "../../src/optim/loss.ts";
import type { LabelledImages } from "../../src/train/labelled_images.ts";
import type { NonFiniteOrigin, NonFiniteReport } from "../../src/train/non_finite_origin.ts";
import { Replica, type ReplicaOptions } from "../../src/train/replica.ts";

await openEngine();

const OPTIMIZER = { settings: { optimizer: "sgd", momentum: 0, weightDecay: 0 }, lr: 0.1 } as never;
const SIDE = 32;
const ROWS = 4;

function batchOf(change: (images: Float32Array) => void = () => {}): LabelledImages {
  const images = Float32Array.from(
    { length: ROWS * SIDE * SIDE * 3 },
    (_, index) => Math.sin(index * 12.9898),
  );
  change(images);
  const labels = Int32Array.from({ length: ROWS }, (_, row) => row % 3);
  return { images, labels, height: SIDE, width: SIDE, indices: Uint32Array.of(40, 41, 42, 43) };
}

/** Two layers without bias, whose weights multiply to 1. */
function linearModel(first: number, second: number): tf.LayersModel {
  const { constant } = tf.initializers;
  return tf.sequential({
    layers: [
      tf.layers.globalAveragePooling2d({ inputShape: [SIDE, SIDE, 3], name: "pool" }),
      ...([["one", 4, first], ["two", 3, second]] as const).map(([name, units, value]) =>
        tf.layers.dense({
          ...{ name, units, useBias: false },
          kernelInitializer: constant({ value }),
        })
      ),
    ],
  });
}

interface Case {
  readonly model?: () => tf.LayersModel;
  readonly options?: Partial<ReplicaOptions>;
  /** Value of all elements of a parameter. */
  readonly set?: readonly [name: string, value: number];
  readonly batch?: LabelledImages;
  readonly lossScale?: number;
  /** True where the loss itself is finite, if that is sure: a ReLU that is fused with BatchNorm makes 0 of NaN. */
  readonly isLossFinite?: boolean;
  readonly origin: NonFiniteOrigin;
}

/** Finds the origin twice, and looks whether the step agrees that it isn't finite, and the state stays. */
async function check(
  { model, options = {}, set, batch = batchOf(), lossScale = 1, isLossFinite, origin }: Case,
): Promise<void> {
  const network = model?.() ?? createModel("plain_cnn", { numClasses: 3, seed: 1 });
  using replica = new Replica(network, { optimizer: OPTIMIZER, capture: true, ...options });
  for (const { name, variable } of replica.state.parameters) {
    if (name === set?.[0]) variable.assign(tf.fill(variable.shape, set[1]));
  }
  const place = { seed: [1, 2], globalRows: ROWS, rowOffset: 0, lossScale } as const;
  const before = await replica.state.exportState();
  const { lossSum } = await replica.forwardBackward(batch, { ...place, keepsBatch: true });
  const isFinite = Number.isFinite(lossSum);
  if (isLossFinite !== undefined) assert.equal(isFinite, isLossFinite);
  const isStepFinite = isFinite && !replica.state.hasNonFiniteVector();
  assert.equal(isStepFinite, origin.at === "nowhere");
  const tensors = tf.memory().numTensors;
  for (let round = 0; round < 2; round++) {
    assert.deepEqual(await replica.findNonFinite(batch, place), origin);
  }
  assert.equal(tf.memory().numTensors, tensors, "nothing leaks");
  assert.deepEqual(await replica.state.exportState(), before, "the state stays as it is");
}

const ALL = { images: undefined };
const SECOND = { images: { indices: [41], count: 1, of: ROWS } };

/** A loss that is NaN for the samples of class 1, and otherwise 0 with the network's gradient. */
const nanLoss: LossFunction = (logits, labels) =>
  tf.where(
    tf.equal(labels, 1),
    tf.fill([logits.shape[0]], NaN),
    tf.sum(logits, 1),
  ) as tf.Tensor1D;

/** A loss with the same gradient for each class. */
const sumLoss: LossFunction = (logits) => tf.sum(logits, 1);

/** A loss of 0 whose gradient is 0 / 0. */
const rootLoss: LossFunction = (logits) =>
  tf.sum(tf.sqrt(tf.mul(logits, tf.zerosLike(logits))), 1) as tf.Tensor1D;

const lossOf = (loss: LossFunction) => ({ loss: { loss, labelSmoothing: 0 } });

for (const capture of [true, false]) {
  const mode = capture ? "captured" : "op by op";
  const options = { capture };

  Deno.test(`the first value that isn't finite is found in the forward pass, ${mode}`, async () => {
    const infinite = batchOf((images) => images[SIDE * SIDE * 3 + 5] = Infinity);
    await check({ options, batch: infinite, origin: { at: "images", ...SECOND } });
    const name = "conv2.bias";
    await check({ options, set: [name, NaN], origin: { at: "parameter", name } });
    const bright = batchOf((images) => images.fill(3e38, SIDE * SIDE * 3, 2 * SIDE * SIDE * 3));
    const ones = ["conv1.weight", 1] as const;
    await check({
      ...{ options, batch: bright, set: ones },
      origin: { at: "output", layer: "conv1", ...SECOND },
    });
    const model = () => createModel("resnet18", { numClasses: 3, seed: 1 });
    const set = ["layer3.0.conv1.weight", 3e38] as const;
    await check({ model, options, set, origin: { at: "output", layer: "layer3.0.conv1", ...ALL } });
    await check({
      ...{ model: () => linearModel(1, 1), options: { ...options, ...lossOf(nanLoss) } },
      origin: { at: "loss", ...SECOND },
    });
  });

  Deno.test(`a gradient that isn't finite is found where the loss is, ${mode}`, async () => {
    const summed = { ...options, ...lossOf(sumLoss) };
    const ones = batchOf((images) => images.fill(1));
    await check({
      ...{ model: () => linearModel(1, 1), options: { ...options, ...lossOf(rootLoss) } },
      isLossFinite: true,
      origin: { at: "outputGradient", layer: "two", ...ALL },
    });
    await check({
      ...{ model: () => linearModel(1e-30, 1e30), options: summed, batch: ones, lossScale: 1e10 },
      isLossFinite: true,
      origin: { at: "outputGradient", layer: "one", ...ALL },
    });
    await check({
      ...{ model: () => linearModel(1e30, 1e-30), options: summed, batch: ones, lossScale: 1e12 },
      isLossFinite: true,
      origin: { at: "gradient", name: "two.weight", layer: "two" },
    });
    const model = () => linearModel(1, 1);
    await check({ model, options, isLossFinite: true, origin: { at: "nowhere" } });
  });
}

Deno.test("the origin is found in a frozen body, and in features of which no image is left", async () => {
  const model = () => createModel("resnet18", { numClasses: 3, seed: 1, featureExtract: true });
  const set = ["layer3.0.conv1.weight", 3e38] as const;
  await check({ model, set, origin: { at: "output", layer: "layer3.0.conv1", ...ALL } });
});

Deno.test("the origin is found with the format of the step: what overflows in 16 bits alone", async () => {
  const set = ["conv1.weight", 1e5] as const;
  const call = { precision: "float16" } as const;
  const origin = { at: "output", layer: "conv1", ...ALL } as const;
  await check({ set, options: { call }, origin });
  await check({ set, isLossFinite: true, origin: { at: "nowhere" } });
  await check({
    set,
    options: { call: { precision: "bfloat16" } },
    isLossFinite: true,
    origin: { at: "nowhere" },
  });
});

Deno.test("micro-batches that are finite by themselves may have a sum that isn't", async () => {
  const batch = batchOf((images) => images.fill(5));
  const model = () => linearModel(1, 1);
  const options = { accumulationSteps: 2, ...lossOf(sumLoss) };
  using replica = new Replica(model(), { optimizer: OPTIMIZER, capture: true, ...options });
  const place = { seed: [1, 2], globalRows: ROWS, rowOffset: 0 } as const;
  await replica.forwardBackward(batch, place);
  const { host } = replica.state.buffers.vector;
  const largest = new Float32Array(host!.slice().buffer).reduce(
    (max, value) => Math.max(max, Math.abs(value)),
    0,
  );
  await check({
    ...{ model, options, batch, lossScale: 4e38 / largest, isLossFinite: true },
    origin: { at: "microBatches", count: 2 },
  });
});

Deno.test("watchingLayers() gives layers back the computation that they had, their class's or their own", () => {
  const model = linearModel(1, 1);
  const [, one, two] = model.layers;
  const own = one.call.bind(one);
  one.call = own;
  const seen: string[] = [];
  const onOutput = (layer: string, output: tf.Tensor) => (seen.push(layer), output);
  tf.dispose(watchingLayers(model, onOutput, () => model.predict(tf.ones([1, SIDE, SIDE, 3]))));
  assert.deepEqual(seen, ["pool", "one", "two"]);
  assert.equal(one.call, own);
  assert.ok(!Object.hasOwn(two, "call"));
});

Deno.test("describeOrigin() names layer, parameter and images", () => {
  const samples = Array.from({ length: 9 }, (_, index) => ({ path: `${index}.png` }));
  const of = (origin: NonFiniteReport["origin"], alone = false) =>
    describeOrigin({ origin, alone }, samples);
  const first = "computed again, the first value that isn't finite is in";
  const two = { indices: [3, 8], count: 2, of: 4 };
  assert.deepEqual(
    [
      of({ at: "parameter", name: "fc.bias" }),
      of({ at: "images", images: two }),
      of({ at: "features", images: undefined }),
      of({ at: "output", layer: "fc", images: { ...two, count: 7, of: 9 } }),
      of({ at: "loss", images: { indices: [], count: 1, of: 2 } }),
      of({ at: "outputGradient", layer: "fc" }),
      of({ at: "gradient", name: "fc.bias", layer: "fc" }),
      of({ at: "statistics", name: "bn.running_var", layer: "bn" }),
    ],
    [
      "the parameter fc.bias, before the step",
      "the pixels of the images for 3.png, 8.png (2 of 4 images)",
      "the kept features",
      "the output of layer fc for 3.png, 8.png and others (7 of 9 images)",
      "the loss (1 of 2 images)",
      "the gradient of the output of layer fc",
      "the gradient of fc.bias, of layer fc",
      "the running statistics bn.running_var, of layer bn",
    ].map((place) => `${first} ${place}`),
  );
  assert.deepEqual([
    of({ at: "loss" }, true),
    of({ at: "microBatches", count: 3 }),
    of({ at: "nowhere" }),
    of({ at: "nowhere" }, true),
    of({ at: "unknown", reason: "out of memory" }),
  ], [
    "computed again without the other ranks' rows, the first value that isn't finite is in the loss",
    "computed again, each of its 3 micro-batches is finite, but their sum isn't",
    "computed again, all its values are finite: the device or a module doesn't give the same values twice",
    "computed again without the other ranks' rows, all its values are finite",
    "it could not be computed again: out of memory",
  ]);
});

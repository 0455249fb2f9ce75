import assert from "node:assert/strict";
import { LockstepError } from "../../src/base/errors.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import type { ModelName } from "../../src/models/registry.ts";
import { createModel, type ModelOptions } from "../../src/models/create_model.ts";
import { optimizerConfig } from "../../src/optim/config.ts";
import { FeatureCaches } from "../../src/train/feature_cache.ts";
import { Features } from "../../src/train/features.ts";
import { floatTensor, ImageStage } from "../../src/train/image_stage.ts";
import { rowOf } from "../../src/train/labelled_images.ts";
import { microBatchesOf } from "../../src/train/micro_batches.ts";
import { Replica } from "../../src/train/replica.ts";

const { runtime } = await openEngine();

const SIDE = 32;
const FLOATS = SIDE * SIDE * 3;
const SGD = { settings: optimizerConfig({ optimizer: "sgd" }), lr: 0.05 };

function makeReplica(name: ModelName, options: Omit<ModelOptions, "numClasses"> = {}): Replica {
  const model = createModel(name, { numClasses: 3, seed: 5, ...options });
  return new Replica(model, { optimizer: SGD, capture: true });
}

/** Images whose values follow from their positions in the list of samples. */
function batchOf(samples: number[]) {
  const images = new Float32Array(samples.length * FLOATS);
  samples.forEach((sample, row) => {
    for (let i = 0; i < FLOATS; i++) {
      images[row * FLOATS + i] = Math.sin((sample * FLOATS + i) * 12.9898) * 1.5;
    }
  });
  const labels = Int32Array.from(samples, (sample) => sample % 3);
  return { images, labels, indices: Uint32Array.from(samples), height: SIDE, width: SIDE };
}

/** The nodes of each function that is traced meanwhile: ops by the functions' names. */
async function tracedOps(action: () => Promise<unknown>): Promise<Map<string, string[]>> {
  const traces = new Map<string, string[]>();
  const text = (bytes: unknown) => new TextDecoder().decode(bytes as Uint8Array).split("\0")[0];
  const lib = runtime.lib as unknown as Record<string, (...args: unknown[]) => unknown>;
  const { TF_NewOperation: newOperation, TF_GraphToFunction: toFunction } = lib;
  let ops: string[] = [];
  lib.TF_NewOperation = (...args) => {
    ops.push(text(args[1]));
    return newOperation(...args);
  };
  lib.TF_GraphToFunction = (...args) => {
    traces.set(text(args[1]).replace(/^lockstep_|_\d+$/g, ""), ops);
    ops = [];
    return toFunction(...args);
  };
  try {
    await action();
  } finally {
    Object.assign(lib, { TF_NewOperation: newOperation, TF_GraphToFunction: toFunction });
  }
  return traces;
}

const PLACE = { seed: [9, 1], globalRows: 4, rowOffset: 0 } as const;
const count = (ops: string[], pattern: RegExp) => ops.filter((op) => pattern.test(op)).length;
const CONVOLUTION = /^(Conv2D|DepthwiseConv2dNative)$/;
const BODY_GRADIENT =
  /^(Conv2DBackprop|DepthwiseConv2dNativeBackprop|FusedBatchNormGrad|Relu6?Grad|MaxPoolGrad|AvgPoolGrad)/;

Deno.test("a step with extracted features has no gradient of the body, and none of its activations", async () => {
  for (
    const [name, options, convolutions] of [
      ["efficientnet_lite0", { featureExtract: true }, 49],
      ["resnet18", { featureExtract: true }, 20],
      ["resnet18", { train: ["fc.*"] }, 20],
      ["plain_cnn", { train: ["fc.*"] }, 3],
    ] as const
  ) {
    using replica = makeReplica(name, options);
    const traces = await tracedOps(() => replica.forwardBackward(batchOf([0, 1, 2, 3]), PLACE));
    assert.deepEqual([...traces.keys()], ["features", "forward_backward"]);
    const body = traces.get("features")!;
    assert.equal(count(body, CONVOLUTION), convolutions, name);
    assert.equal(count(body, BODY_GRADIENT), 0, name);
    const step = traces.get("forward_backward")!;
    assert.equal(count(step, CONVOLUTION), 0, name);
    assert.equal(count(step, BODY_GRADIENT), 0, name);
    // The head, its weight's gradient, and its input's, which TensorFlow prunes: no result needs it.
    assert.equal(count(step, /^BatchMatMul|^MatMul/), 3);
  }
});

Deno.test("a step has gradients as far down as something learns, and no further", async () => {
  const counts = [];
  for (const options of [{}, { train: ["layer4.*", "fc.*"] }]) {
    using replica = makeReplica("resnet18", options);
    const traces = await tracedOps(() => replica.forwardBackward(batchOf([0, 1, 2, 3]), PLACE));
    const ops = traces.get("forward_backward")!;
    counts.push([
      count(ops, /^Conv2DBackpropFilter$/),
      count(ops, /^FusedBatchNormGrad/),
    ]);
  }
  assert.deepEqual(counts, [[20, 20], [5, 5]]);
});

/** Bits of the features of each sample. */
async function featuresOf(replica: Replica, samples: number[], caches?: FeatureCaches) {
  const features = await replica.features!.of(batchOf(samples), caches?.train);
  const values = features.dataSync() as Float32Array;
  features.dispose();
  const size = values.length / samples.length;
  return new Map(samples.map((sample, row) => [
    sample,
    new Uint32Array(values.slice(row * size, (row + 1) * size).buffer),
  ]));
}

for (const name of ["plain_cnn", "squeezenet1_1", "efficientnet_lite0", "resnet18"] as const) {
  Deno.test(`the features of ${name} have the same bits in any batch, kept or not`, async () => {
    using replica = makeReplica(name, { featureExtract: true });
    await replica.features!.verify([1, 2, 5, 12], [SIDE, SIDE]);
    const all = [...Array(12).keys()];
    const reference = await featuresOf(replica, all);
    const caches = new FeatureCaches(1e9);
    for (const samples of [[7], [3, 7], [11, 3, 7, 2, 9], [...all].reverse(), all, [4]]) {
      for (
        const features of [
          await featuresOf(replica, samples),
          await featuresOf(replica, samples, caches),
        ]
      ) {
        for (const [sample, bits] of features) assert.deepEqual(bits, reference.get(sample));
      }
    }
    assert.equal(caches.train.size, 12);
  });
}

Deno.test("known features are taken from the cache: their images aren't looked at", async () => {
  using replica = makeReplica("efficientnet_lite0", { featureExtract: true });
  const caches = new FeatureCaches(1e9);
  const samples = [0, 1, 2, 3, 4, 5];
  const reference = await featuresOf(replica, samples, caches);
  const many = Array.from({ length: 20 }, (_, position) => 6 + position);
  for (const fresh of [[], [8], [8, 9], [6, 7, 8, 9], many]) { // few are computed apart, many in the batch
    const wanted = [...samples, ...fresh];
    const batch = batchOf(wanted);
    batch.images.fill(NaN, 0, samples.length * FLOATS);
    const features = await replica.features!.of(batch, caches.train);
    const values = features.dataSync() as Float32Array;
    const size = values.length / wanted.length;
    for (const sample of samples) {
      const row = values.slice(sample * size, (sample + 1) * size);
      assert.deepEqual(new Uint32Array(row.buffer), reference.get(sample));
    }
    assert.ok(values.every(Number.isFinite));
    features.dispose();
    caches.clear();
    await featuresOf(replica, samples, caches);
  }
});

Deno.test("a row without an image takes its features from the cache, or is refused", async () => {
  using replica = makeReplica("plain_cnn", { featureExtract: true });
  const caches = replica.features!.caches = new FeatureCaches(1e9);
  const read = batchOf([0, 1, 2, 3]);
  const scores = await replica.evaluate(read);
  const unread = {
    ...read,
    images: read.images.slice().fill(NaN, FLOATS),
    unread: new Set([1, 2, 3]),
  };
  const again = await replica.evaluate(unread);
  assert.deepEqual(again.losses, scores.losses);
  // The training cache is another one.
  const refused = { name: "RangeError", message: /^Row 1 of the batch holds no image/ };
  await assert.rejects(replica.forwardBackward(unread, PLACE), refused);
  const parts = { ...unread, images: read.images, unread: new Set([3]) };
  assert.deepEqual(
    microBatchesOf(parts, { accumulationSteps: 2 }).map(({ part }) => part.unread),
    [undefined, new Set([1])],
  );
  assert.throws(() => floatTensor(parts), /^RangeError: Row 3 of the batch holds no image/);
  await assert.rejects(replica.features!.of(parts), /Row 3 of the batch holds no image/);
  assert.equal(caches.train.size, 0);
});

Deno.test("the layer of a non-finite output is found from kept features, where there is no image", async () => {
  using replica = makeReplica("plain_cnn", { featureExtract: true });
  replica.features!.caches = new FeatureCaches(1e9);
  const read = batchOf([0, 1, 2, 3]);
  await replica.evaluate(read);
  const [variable] = replica.state.learning;
  variable.assign(tf.fill(variable.shape, 3e38));
  const unread = { ...read, images: read.images.slice().fill(NaN), unread: new Set([0, 1, 2, 3]) };
  const tensors = runtime.tensorCount;
  const layers = [read, unread].map((batch) => replica.findNonFiniteLayer(rowOf(batch, 2)));
  assert.deepEqual(layers, ["fc", "fc"], "not a layer of the body, which saw no image");
  assert.equal(runtime.tensorCount, tensors);
});

Deno.test("Features.verify() refuses a network whose features depend on the batch", async () => {
  const body = (x: tf.Tensor) => tf.sub(x, tf.mean(x, 0));
  const head = (x: tf.Tensor) => x as tf.Tensor2D;
  using stage = new ImageStage(true);
  using features = new Features({ name: "centred", body, head }, stage, {
    variables: () => [],
    capture: true,
  });
  await assert.rejects(
    features.verify([6], [4, 4]),
    (error: Error) =>
      error instanceof LockstepError &&
      /a batch of 6 .* remove train\.featureCache/.test(error.message),
  );
});

Deno.test("FeatureCaches keep no more than their bytes, and say what they keep", () => {
  const caches = new FeatureCaches(40);
  const row = Float32Array.of(1, 2, 3);
  for (const index of [5, 6, 6]) caches.train.keep(index, row);
  caches.val.keep(5, row);
  caches.val.keep(6, row);
  assert.deepEqual(caches.kept, { train: 2, val: 1, bytes: 36 });
  assert.deepEqual([caches.train.has(6), caches.val.has(6)], [true, false]);
  row.fill(0);
  assert.deepEqual(caches.train.get(5), Float32Array.of(1, 2, 3), "a copy");
  caches.val.keep(7, Float32Array.of(1));
  assert.deepEqual(caches.kept, { train: 2, val: 2, bytes: 40 });
  caches.clear();
  assert.deepEqual(caches.kept, { train: 0, val: 0, bytes: 0 });
});

Deno.test("steps and scores with kept features leak no tensors", async () => {
  using replica = makeReplica("plain_cnn", { featureExtract: true });
  replica.features!.caches = new FeatureCaches(1e9);
  const pass = async () => {
    for (const samples of [[0, 1, 2, 3], [3, 4, 0, 1], [5]]) {
      await replica.forwardBackward(batchOf(samples), PLACE);
      await replica.step({ rates: [0.05], step: 1, squares: 0 });
      await replica.evaluate(batchOf(samples));
    }
  };
  await pass();
  await pass();
  const tensors = runtime.tensorCount;
  for (let i = 0; i < 5; i++) await pass();
  assert.equal(runtime.tensorCount, tensors);
  assert.equal(replica.features!.caches.train.size, 6);
});

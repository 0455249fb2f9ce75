import { hostOf } from "../../src/engine/device_memory.ts";
import assert from "node:assert/strict";
import type { Images } from "../../src/data/transforms/byte_images.ts";
import { cutMixAt } from "../../src/data/transforms/mix.ts";
import { openEngine } from "../../src/engine/engine.ts";
import type { ModelName } from "../../src/models/registry.ts";
import { createModel } from "../../src/models/create_model.ts";
import { optimizerConfig } from "../../src/optim/config.ts";
import { FeatureCaches } from "../../src/train/feature_cache.ts";
import type { LabelledImages } from "../../src/train/labelled_images.ts";
import { Replica, type ReplicaOptions } from "../../src/train/replica.ts";
import { type BatchMixing, bothBatches } from "../support/byte_batches.ts";

const { runtime } = await openEngine();

// A batch is finished by a function of the device, a part of it in JavaScript.
const SIDE = 136, ROWS = 5;
const SGD = { settings: optimizerConfig({ optimizer: "sgd" }), lr: 0.05 };
const TRANSFORMS = [
  { Resize: [SIDE, SIDE] },
  "RandomHorizontalFlip",
  { Normalize: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } },
  { RandomErasing: 0.5 },
];
const PLACE = { seed: [9, 1], globalRows: ROWS, rowOffset: 0 } as const;
const usable = [true, true, false, true, true, true];

const MIXES: Record<string, BatchMixing | undefined> = {
  "not mixed": undefined,
  MixUp: { mix: { share: 0.7 }, usable, isWhole: false },
  CutMix: { mix: cutMixAt([SIDE, SIDE], 0.6, 50, 90), usable, isWhole: true },
};

function replicaOf(name: ModelName, options: Partial<ReplicaOptions>, featureExtract = false) {
  const model = createModel(name, { numClasses: 3, seed: 5, featureExtract });
  return new Replica(model, { optimizer: SGD, capture: true, ...options });
}

function batchOf(images: Images, mixing?: BatchMixing): LabelledImages {
  const labels = Int32Array.from({ length: ROWS }, (_, row) => row % 3);
  const mix = mixing && { partnerLabels: labels.toReversed(), share: mixing.mix.share };
  return { images, labels, height: SIDE, width: SIDE, ...(mix ? { mix } : {}) };
}

for (const [mixName, mixing] of Object.entries(MIXES)) {
  Deno.test(`a step of bytes has the gradients of one of floats, whole and in parts: ${mixName}`, async () => {
    const { floats, bytes } = bothBatches(TRANSFORMS, ROWS, mixing);
    for (const options of [{}, { accumulationSteps: 2 }, { capture: false }]) {
      using replica = replicaOf("plain_cnn", options);
      const results = [];
      for (const images of [floats, bytes]) {
        const batch = batchOf(images, mixing);
        const totals = await replica.forwardBackward(batch, PLACE);
        const vector = hostOf(replica.state.buffers.vector).slice();
        results.push({ totals, vector, scores: await replica.evaluate(batch) });
      }
      assert.deepEqual(results[1], results[0], JSON.stringify(options));
      assert.ok(results[0].vector.some((byte) => byte !== 0));
    }
  });
}

Deno.test("a frozen body has the same features of bytes as of floats, kept or not", async () => {
  const { floats, bytes } = bothBatches(TRANSFORMS, ROWS);
  const all = [];
  for (const images of [floats, bytes]) {
    using replica = replicaOf("plain_cnn", {}, true);
    replica.features!.caches = new FeatureCaches(1e9);
    const batch = { ...batchOf(images), indices: Uint32Array.of(0, 1, 2, 3, 4) };
    // A part of the batch first: the rest is computed in chunks.
    const { labels } = batch;
    const part = {
      ...batch,
      images: images instanceof Float32Array
        ? images.subarray(0, 2 * images.length / ROWS)
        : images.slice(0, 2),
      labels: labels.subarray(0, 2),
      indices: Uint32Array.of(0, 1),
    };
    const scores = [
      await replica.evaluate(part),
      await replica.evaluate(batch),
      await replica.evaluate({ ...batch, unread: new Set([1, 4]) }),
      replica.findNonFiniteLayer(batch),
    ];
    replica.features!.caches = undefined;
    const single = images instanceof Float32Array
      ? images.subarray(0, images.length / ROWS)
      : images.slice(0, 1);
    scores.push(await replica.evaluate({ ...batch, images: single, labels: Int32Array.of(1) }));
    all.push(scores);
  }
  assert.deepEqual(all[1], all[0]);
});

Deno.test("steps of bytes leak no tensors", async () => {
  const { bytes } = bothBatches(TRANSFORMS, ROWS, MIXES.MixUp);
  using replica = replicaOf("plain_cnn", { accumulationSteps: 2 });
  const step = () => replica.forwardBackward(batchOf(bytes, MIXES.MixUp), PLACE);
  await step();
  const tensors = runtime.tensorCount;
  for (let count = 0; count < 5; count++) await step();
  assert.equal(runtime.tensorCount, tensors);
});

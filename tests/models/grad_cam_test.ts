import assert from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { tensorFrom } from "../../src/engine/transfer.ts";
import { ARCHITECTURES, MODEL_NAMES, type ModelName } from "../../src/models/registry.ts";
import { createModel } from "../../src/models/create_model.ts";
import { gradCam, lastFeatureMap } from "../../src/models/grad_cam.ts";
import { applyModel } from "../../src/models/heads.ts";
import { parametersOf } from "../../src/models/parameters.ts";
import { deterministicValues } from "../support/deterministic_fill.ts";
import { assertWithin, fill, type FilledInput, inputImages } from "./fixture_model.ts";

/** A case of `scripts/make_metrics_fixtures.py`. */
interface Case {
  model: ModelName;
  classes: number;
  input: FilledInput;
  logits: number[][];
  best: number[];
  /** [n, h, w]. */
  maps: number[][][];
}

const URL_OF_CASES = new URL("../fixtures/metrics/grad_cam.json", import.meta.url);
const CASES: Case[] = JSON.parse(await Deno.readTextFile(URL_OF_CASES));
await openEngine();

function imagesOf(values: Float32Array, count: number, side: number): tf.Tensor {
  return tensorFrom([count, side, side, 3], "float32", new Uint8Array(values.buffer));
}

for (const { model: name, classes, input, logits, best, maps } of CASES) {
  Deno.test(`gradCam() of ${name} is PyTorch's`, () => {
    const model = createModel(name, { numClasses: classes });
    fill(model, parametersOf(model), ARCHITECTURES[name].heads[0]);
    const images = imagesOf(inputImages(input), input.shape[0], input.shape[2]);
    const own = applyModel(model, images, false)[0];
    assertWithin([...own.dataSync()], logits.flat(), 1e-4, "logits");
    const map = lastFeatureMap(model);
    const result = gradCam(map, images, tf.tensor1d(best, "int32"));
    assert.deepEqual(result.shape, [maps.length, maps[0].length, maps[0][0].length]);
    assertWithin([...result.dataSync()], maps.flat(2), 1e-4, "map");
    model.dispose();
  });
}

/** Grad-CAM of plain_cnn, whose head is the mean over the map and a linear layer: α is the weight over the area. */
Deno.test("gradCam() is what the definition says, by another way", () => {
  const [side, classes] = [16, 4];
  const model = createModel("plain_cnn", { numClasses: classes, seed: 3 });
  const images = imagesOf(deterministicValues("cam", 2 * side * side * 3, 2), 2, side);
  const map = lastFeatureMap(model);
  assert.equal(map.name, "relu3");
  const chosen = [3, 1];
  const result = gradCam(map, images, tf.tensor1d(chosen, "int32"));

  const features = map.features(images);
  const [count, height, width, channels] = features.shape;
  const kernel = parametersOf(model).find(({ name }) => name === "fc.weight")!.variable;
  assert.deepEqual(kernel.shape, [channels, classes]);
  const [weights, values] = [kernel.dataSync(), features.dataSync()];
  const expected: number[] = [];
  for (let n = 0; n < count; n++) {
    for (let place = 0; place < height * width; place++) {
      let sum = 0;
      for (let k = 0; k < channels; k++) {
        const alpha = weights[k * classes + chosen[n]] / (height * width);
        sum += alpha * values[(n * height * width + place) * channels + k];
      }
      expected.push(Math.max(0, sum));
    }
  }
  assert.ok(expected.some((value) => value > 0) && expected.some((value) => value === 0));
  assertWithin([...result.dataSync()], expected, 1e-5, "map");
});

/**
 * The layer that everybody takes for Grad-CAM on these networks, and the side of its map on `side` pixels; of a network
 * that isn't here, the layer is one whose map is smaller than the image.
 */
const LAYERS: Partial<Record<ModelName, [layer: string, side: number, mapSide: number]>> = {
  alexnet: ["features.11", 95, 5],
  densenet121: ["features.relu5", 64, 2],
  efficientnet_lite0: ["features.8.relu6", 64, 2],
  inception_v3: ["Mixed_7c.concat", 107, 2],
  mobilenet_v2: ["features.18.2", 64, 2],
  plain_cnn: ["relu3", 32, 8],
  resnet18: ["layer4.1.relu2", 64, 2],
  resnet34: ["layer4.2.relu2", 64, 2],
  resnet50: ["layer4.2.relu3", 64, 2],
  squeezenet1_0: ["features.12.concat", 65, 3],
  squeezenet1_1: ["features.12.concat", 65, 4],
  vgg11_bn: ["features.27", 64, 4],
  vgg16_bn: ["features.42", 64, 4],
};

for (const name of MODEL_NAMES) {
  Deno.test(`gradCam() looks at the last convolutional features of ${name}, frozen or not`, () => {
    const { minSize } = ARCHITECTURES[name];
    const [layer, side, mapSide] = LAYERS[name] ?? [undefined, Math.max(minSize, 64)];
    const model = createModel(name, { numClasses: 3, featureExtract: true });
    const map = lastFeatureMap(model);
    if (layer) assert.equal(map.name, layer);
    const before = tf.memory().numTensors;
    const images = imagesOf(deterministicValues("cam", side * side * 3, 2), 1, side);
    const logits = applyModel(model, images, false)[0];
    const halves = tf.tidy(() => map.logits(map.features(images)).dataSync());
    assertWithin([...halves], [...logits.dataSync()], 1e-5, "logits");
    const classes = tf.tensor1d([2], "int32");
    const result = gradCam(map, images, classes);
    const [, height] = result.shape;
    assert.deepEqual(result.shape, [1, mapSide ?? height, mapSide ?? height]);
    assert.ok(height < side);
    const values = [...result.dataSync()];
    assert.ok(values.every((value) => Number.isFinite(value) && value >= 0), String(values));
    tf.dispose([images, logits, classes, result]);
    assert.equal(tf.memory().numTensors, before, "nothing leaks");
    model.dispose();
  });
}

Deno.test("lastFeatureMap() finds its way through a head of several layers", () => {
  const head = [
    { Linear: { outFeatures: 8 } },
    { ReLU: {} },
    { Linear: { outFeatures: "classes" as const } },
    { LogSoftmax: {} },
  ];
  const model = createModel("plain_cnn", { numClasses: 3, head });
  const map = lastFeatureMap(model);
  assert.equal(map.name, "relu3");
  const images = imagesOf(deterministicValues("cam", 16 * 16 * 3, 2), 1, 16);
  assert.deepEqual(gradCam(map, images, tf.tensor1d([0], "int32")).shape, [1, 4, 4]);
});

Deno.test("lastFeatureMap() refuses a network without convolutions", () => {
  const input = tf.input({ shape: [8, 8, 3] });
  const flat = tf.layers.flatten().apply(input);
  const outputs = tf.layers.dense({ units: 2 }).apply(flat) as tf.SymbolicTensor;
  const model = tf.model({ inputs: input, outputs, name: "flat" });
  assert.throws(() => lastFeatureMap(model), /Grad-CAM needs convolutions, but flat has none/);
});

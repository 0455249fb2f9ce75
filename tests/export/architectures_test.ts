import { deepEqual, equal, ok } from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { loadGraphModel } from "../../src/export/check_graph_model.ts";
import { type GraphModel, makeGraphModel } from "../../src/export/graph_model.ts";
import { torchvisionState } from "../../src/export/weight_files.ts";
import { ARCHITECTURES, MODEL_NAMES, type ModelName } from "../../src/models/registry.ts";
import { applyModel } from "../../src/models/heads.ts";
import { parametersOf } from "../../src/models/parameters.ts";
import type { TorchTensor } from "../../src/weights/torch_tensor.ts";
import { deterministicValues } from "../support/deterministic_fill.ts";
import { readParity } from "../models/parity.ts";
import { filledModel } from "../support/filled_run.ts";

await openEngine();

/** As many as the fixtures' state dicts have. */
const CLASSES = 3;

/** A size that no architecture treats specially, not square, so that axes can't be mixed up. */
function sizeFor(name: ModelName): [number, number] {
  const side = Math.max(ARCHITECTURES[name].minSize, 40);
  return [side, side + 9];
}

function makeImages(count: number, [height, width]: [number, number]): tf.Tensor4D {
  const values = deterministicValues("pictures", count * height * width * 3, 2);
  return tf.tensor4d(values, [count, height, width, 3]);
}

function greatestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  equal(a.length, b.length);
  return Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i])));
}

/** Logits and probabilities as tfjs computes them on one of its backends. */
async function runOn(
  backend: string,
  graphModel: GraphModel,
  values: Float32Array,
  shape: [number, number, number, number],
): Promise<Float32Array[]> {
  await tf.setBackend(backend);
  try {
    const loaded = await loadGraphModel(graphModel);
    const images = tf.tensor(values.subarray(0, shape.reduce((a, b) => a * b)), shape);
    const results = loaded.execute(images, ["logits", "probabilities"]) as tf.Tensor[];
    const read = results.map((tensor) => tensor.dataSync<"float32">());
    tf.dispose([images, ...results]);
    loaded.dispose();
    return read;
  } finally {
    await tf.setBackend("tensorflow");
  }
}

/** The state dict that is exported for torchvision, described as in the fixtures of parity. */
function describeState(model: tf.LayersModel): string[] {
  const state = parametersOf(model).map(({ name, torchShape }): [string, TorchTensor] => [
    name,
    { dtype: "float32", shape: torchShape, data: new Uint8Array() }, // the values don't matter here
  ]);
  return [...torchvisionState(new Map(state))].map(([key, { dtype, shape }]) => {
    ok(dtype === "float32" || dtype === "int64");
    return `${dtype === "int64" ? "*" : ""}${key} ${shape.join()}`.trim();
  }).sort();
}

for (const name of MODEL_NAMES) {
  Deno.test(`${name} is exported with torchvision's names, and as a graph with its logits on both of tfjs's backends`, async () => {
    const model = filledModel(name, { numClasses: CLASSES, transformInput: true });
    const { stateDict } = await readParity(name);
    if (stateDict) deepEqual(describeState(model), stateDict.toSorted());
    const size = sizeFor(name);
    const graphModel = makeGraphModel(model, size, {});
    const images = makeImages(3, size);
    const expected = tf.tidy(() => {
      const [logits] = applyModel(model, images, false);
      return [logits, tf.softmax(logits)].map((tensor) => tensor.dataSync<"float32">());
    });
    const values = images.dataSync<"float32">();
    images.dispose();
    model.dispose();
    const greatest = Math.max(...Array.from(expected[0], Math.abs));
    ok(greatest > 0.01, `logits of ${greatest} tell nothing`);
    // tfjs's own backend is slow: one image will do.
    for (const [backend, count] of [["tensorflow", 3], ["cpu", 1]] as const) {
      const results = await runOn(backend, graphModel, values, [count, ...size, 3]);
      results.forEach((result, i) => {
        const difference = greatestDifference(result, expected[i].subarray(0, count * CLASSES));
        ok(difference <= 1e-4 * Math.max(greatest, 1), `${backend}: ${difference} of ${greatest}`);
      });
    }
  });
}

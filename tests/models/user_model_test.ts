import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { parametersOf } from "../../src/models/parameters.ts";
import { createUserModel, type UserModelSettings } from "../../src/models/user_model.ts";
import { loadTorchWeights, setState, stateOf } from "../../src/train/load_weights.ts";
import { Replica } from "../../src/train/replica.ts";
import { encodeSafetensors } from "../../src/weights/safetensors.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

await openEngine();

const SIDE = 8;
const SGD = {
  settings: { optimizer: "sgd", momentum: 0.9, dampening: 0, weightDecay: 0, nesterov: false },
  lr: 0.05,
} as const;

/** Layers of every kind: named and not, models in models, one of the user's own, one that PyTorch hasn't. */
const RICH = `
export function createModel({ inputShape, numClasses }, tf) {
  class Scale extends tf.layers.Layer {
    static className = "Scale";
    build(shape) {
      this.factor = this.addWeight("factor", [shape.at(-1)], "float32", tf.initializers.ones());
      this.built = true;
    }
    call(x) { return tf.mul(x[0] ?? x, this.factor.read()); }
    computeOutputShape(shape) { return shape; }
  }
  const body = tf.sequential({ name: "body", layers: [
    tf.layers.conv2d({ inputShape, filters: 4, kernelSize: 3, padding: "same" }),
    tf.layers.batchNormalization({}),
    tf.layers.separableConv2d({ filters: 5, kernelSize: 3, name: "separable" }),
    tf.layers.dropout({ rate: 0.5 }),
  ] });
  const input = tf.input({ shape: inputShape });
  let x = body.apply(input);
  x = new Scale({ name: "scale" }).apply(x);
  x = tf.layers.globalAveragePooling2d({ dataFormat: "channelsLast" }).apply(x);
  x = tf.layers.dense({ units: numClasses }).apply(x);
  return tf.model({ inputs: input, outputs: x });
}
`;

async function withModel(
  text: string,
  use: (make: (learning?: Partial<UserModelSettings>) => Promise<tf.LayersModel>) => Promise<void>,
): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    const path = join(folder, "model.ts");
    await Deno.writeTextFile(path, text);
    const settings = { numClasses: 3, inputSize: [SIDE, SIDE] as const, seed: 1 };
    await use((more) => createUserModel(pathToFileURL(path).href, { ...settings, ...more }));
  });
}

function makeBatch(first: number, rows: number) {
  const floats = SIDE * SIDE * 3;
  const images = Float32Array.from(
    { length: rows * floats },
    (_, index) => Math.sin((first * floats + index) * 12.9898),
  );
  const labels = Int32Array.from({ length: rows }, (_, row) => (first + row) % 3);
  return { images, labels, height: SIDE, width: SIDE };
}

Deno.test("createUserModel() names parameters alike in each model, nested and unknown layers too", () =>
  withModel(RICH, async (make) => {
    for (let turn = 0; turn < 2; turn++) {
      const parameters = parametersOf(await make());
      assert.deepEqual(parameters.map(({ name, buffer }) => (buffer ? "~" : "") + name), [
        "body.conv2d_1.weight",
        "body.conv2d_1.bias",
        "body.batch_normalization_1.weight",
        "body.batch_normalization_1.bias",
        "~body.batch_normalization_1.running_mean",
        "~body.batch_normalization_1.running_var",
        "body.separable.depthwise_kernel",
        "body.separable.pointwise_kernel",
        "body.separable.bias",
        "scale.factor",
        "dense_1.weight",
        "dense_1.bias",
      ]);
      const shapes = new Map(parameters.map(({ name, torchShape }) => [name, torchShape]));
      assert.deepEqual(shapes.get("body.conv2d_1.weight"), [4, 3, 3, 3]);
      assert.deepEqual(shapes.get("body.separable.depthwise_kernel"), [3, 3, 4, 1]);
    }
  }));

Deno.test("a user's model trains as well traced as op by op, and its state goes out and in", () =>
  withModel(RICH, async (make) => {
    const vectors: Float32Array[] = [];
    const losses: number[] = [];
    for (const capture of [true, false]) {
      const model = await make();
      using replica = new Replica(model, { optimizer: SGD, capture });
      assert.equal(replica.features, undefined);
      for (let step = 1; step <= 3; step++) {
        const place = { seed: [step, 2], globalRows: 6, rowOffset: 0 } as const;
        const { lossSum } = await replica.forwardBackward(makeBatch(step, 6), place);
        losses.push(lossSum);
        await replica.step({ rates: [0.05], step, squares: 0 });
      }
      vectors.push(new Float32Array((await replica.state.exportState()).buffer));
      const copy = await make();
      setState(copy, stateOf(replica.state.parameters), "a copy");
      const images = tf.tensor4d(makeBatch(0, 2).images, [2, SIDE, SIDE, 3]);
      const [a, b] = [model, copy].map((each) => (each.predict(images) as tf.Tensor).dataSync());
      assert.deepEqual(a, b);
      images.dispose();
    }
    const [captured, eager] = vectors;
    captured.forEach((value, index) => assert.ok(Math.abs(value - eager[index]) < 1e-4));
    assert.equal(
      new Set(losses.map((loss) => loss.toFixed(4))).size,
      3,
      "each step has its own mask",
    );
  }));

const DROPPING = `
export const createModel = ({ inputShape, numClasses }, tf) => tf.sequential({ layers: [
  tf.layers.flatten({ inputShape }),
  tf.layers.dense({ units: 16, activation: "relu", trainable: false, name: "frozen" }),
  tf.layers.dropout({ rate: 0.5 }),
  tf.layers.dense({ units: numClasses, name: "head" }),
] });
`;

Deno.test("stock dropout drops the same for a batch and for its parts, and needs no gradient before it", () =>
  withModel(DROPPING, async (make) => {
    using replica = new Replica(await make(), { optimizer: SGD, capture: true });
    assert.ok(replica.features, "what is frozen is cut off");
    const seed = [3, 4] as const;
    const whole = await replica.forwardBackward(makeBatch(0, 6), {
      seed,
      globalRows: 6,
      rowOffset: 0,
    });
    let sum = 0;
    for (const first of [0, 2, 4]) {
      const place = { seed, globalRows: 6, rowOffset: first };
      sum += (await replica.forwardBackward(makeBatch(first, 2), place)).lossSum;
    }
    assert.ok(Math.abs(sum - whole.lossSum) < 1e-4);
    const other = await replica.forwardBackward(makeBatch(0, 6), {
      seed: [9, 4],
      globalRows: 6,
      rowOffset: 0,
    });
    assert.notEqual(other.lossSum, whole.lossSum);
    assert.deepEqual(replica.state.trainable.map(({ name }) => name), ["head.weight", "head.bias"]);
  }));

Deno.test("patterns, the last layer and BatchNorm of a user's model can be chosen and frozen", () =>
  withModel(RICH, async (make) => {
    const learning = async (settings: Partial<UserModelSettings>) =>
      parametersOf(await make(settings)).filter(({ trainable }) => trainable)
        .map(({ name }) => name);
    assert.deepEqual(await learning({ featureExtract: true }), ["dense_1.weight", "dense_1.bias"]);
    assert.deepEqual(await learning({ train: ["body.conv2d_1.*"], freezeBatchNorm: true }), [
      "body.conv2d_1.weight",
      "body.conv2d_1.bias",
    ]);
    await assert.rejects(
      make({ train: ["conv1.*"] }),
      /the pattern "conv1\.\*" matches no parameter/,
    );
    for (const freezeBatchNorm of [true, false]) {
      const model = await make({ train: ["scale.*"], freezeBatchNorm });
      using replica = new Replica(model, { optimizer: SGD, capture: true });
      const statistics = () =>
        replica.state.parameters.filter(({ buffer }) => buffer)
          .map(({ variable }) => Array.from(variable.dataSync()));
      const before = statistics();
      const place = { seed: [1, 1], globalRows: 4, rowOffset: 0 } as const;
      await replica.forwardBackward(makeBatch(0, 4), place);
      await replica.step({ rates: [0.05], step: 1, squares: 0 });
      assert.equal(isDeepStrictEqual(statistics(), before), freezeBatchNorm);
    }
  }));

Deno.test("a file of weights fits a user's model, with another last layer where that is allowed", () =>
  withTemporaryFolder(async (folder) => {
    const file = join(folder, "weights.safetensors");
    await withModel(DROPPING, async (make) => {
      const model = await make({ numClasses: 5 });
      await Deno.writeFile(file, encodeSafetensors(stateOf(parametersOf(model)), {}));
      const same = await make({ numClasses: 5, seed: 2 });
      assert.equal((await loadTorchWeights(same, file)).loaded, 4);
      const other = await make({ seed: 2 });
      await assert.rejects(
        loadTorchWeights(other, file),
        /a network of 5 classes, and 3 are needed/,
      );
      const report = await loadTorchWeights(other, file, { replaceHead: true });
      assert.deepEqual([report.loaded, report.freshHeads], [2, ["head"]]);
      const kernels = [model, other].map((each) =>
        each.getLayer("frozen").getWeights()[0].dataSync()
      );
      assert.deepEqual(kernels[0], kernels[1]);
    });
  }));

Deno.test("names that layers are given must not be those that are counted", () =>
  withModel(
    DROPPING.replace('"head"', '"dense_1"').replace(', name: "frozen"', ""),
    async (make) => {
      await assert.rejects(
        make(),
        /two layers of file:\S+ are called dense_1: give all layers names/,
      );
    },
  ));

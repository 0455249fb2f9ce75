import assert from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";
import { setStepSeed } from "../../src/engine/random_state.ts";
import { tf } from "../../src/engine/tf.ts";
import type { ModelName } from "../../src/models/registry.ts";
import { createModel } from "../../src/models/create_model.ts";
import { Dropout } from "../../src/models/layers.ts";

await openEngine();

const ROWS = 100;
const UNITS = 1000;

function valuesOf(tensor: tf.Tensor): Float32Array {
  return tensor.dataSync() as Float32Array;
}

for (const rate of [0.1, 0.2, 0.5, 0.9]) {
  Deno.test(`Dropout(${rate}) drops that share and scales the rest to keep the mean`, () => {
    setStepSeed([5, 6], ROWS, 0);
    const layer = new Dropout({ name: "dropout", rate, salt: 1 });
    tf.tidy(() => {
      const x = tf.randomUniform([ROWS, UNITS], 1, 2, "float32", 3);
      const apply = (input: tf.Tensor) => layer.apply(input, { training: true }) as tf.Tensor;
      const [before, after] = [valuesOf(x), valuesOf(apply(x))];
      const gradient = valuesOf(tf.grad((input) => tf.sum(apply(input)))(x));
      const scale = Math.fround(1 / (1 - rate));
      let dropped = 0;
      before.forEach((value, at) => {
        if (after[at] === 0) dropped++;
        else {
          assert.ok(Math.abs(after[at] / (value * scale) - 1) < 1e-6, `${value} to ${after[at]}`);
        }
        assert.equal(gradient[at], after[at] === 0 ? 0 : scale);
      });
      const count = ROWS * UNITS;
      const deviation = Math.sqrt(rate * (1 - rate) / count);
      assert.ok(Math.abs(dropped / count - rate) < 5 * deviation, `dropped ${dropped}`);
      const evaluated = layer.apply(x, { training: false }) as tf.Tensor;
      assert.deepEqual(valuesOf(evaluated), before, "nothing in eval mode");
    });
  });
}

/** Dropout rates of torchvision's networks and of EfficientNet-Lite0's paper. */
const RATES: Partial<Record<ModelName, readonly number[]>> = {
  alexnet: [0.5, 0.5],
  densenet121: [],
  efficientnet_lite0: [0.2],
  inception_v3: [0.5],
  mobilenet_v2: [0.2],
  resnet18: [],
  squeezenet1_1: [0.5],
};

for (const [name, rates] of Object.entries(RATES)) {
  Deno.test(`createModel("${name}") drops [${rates}], each layer and step in its own way`, () => {
    const model = createModel(name as ModelName, { numClasses: 2 });
    const layers = model.layers.filter((layer): layer is Dropout => layer instanceof Dropout);
    const configs = layers.map((layer) => layer.getConfig());
    const ofUnits = configs.filter(({ noiseShape }) => noiseShape === undefined);
    assert.deepEqual(ofUnits.map(({ rate }) => rate), rates);
    const masks = new Set<string>();
    const active = layers.filter((_, index) => Number(configs[index].rate) > 0);
    for (const step of [0, 1]) {
      setStepSeed([7, step], 512, 0);
      tf.tidy(() => {
        const x = tf.ones([512, 2, 2, 1]);
        for (const layer of active) {
          const y = layer.apply(x, { training: true }) as tf.Tensor;
          masks.add(valuesOf(y).map((value) => Number(value > 0)).join(""));
        }
      });
    }
    assert.equal(masks.size, 2 * active.length);
    model.dispose();
  });
}

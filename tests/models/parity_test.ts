import assert from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { MODEL_NAMES, type ModelName } from "../../src/models/registry.ts";
import { createModel, type ModelOptions } from "../../src/models/create_model.ts";
import { Parity, type ParityFixture, readParity } from "./parity.ts";

await openEngine();

/** Networks that also learn op by op: one plain, one with dropout layers, one with an auxiliary classifier. */
const EAGER: readonly ModelName[] = ["resnet18", "squeezenet1_1", "inception_v3"];

function make(
  name: ModelName,
  { numClasses }: ParityFixture,
  options: Partial<ModelOptions> = {},
): tf.LayersModel {
  return createModel(name, { numClasses, dropout: 0, stochasticDepth: 0, ...options });
}

for (const name of MODEL_NAMES) {
  Deno.test(`createModel("${name}") is PyTorch's network`, async (test) => {
    const before = tf.memory().numTensors;
    const fixture = await readParity(name);
    const model = make(name, fixture);
    const parity = new Parity(model, name, fixture);
    await test.step("starts from its distributions", () => parity.assertDrawn());
    parity.fill();
    await test.step("gives its logits in eval mode", () => parity.assertLogits(fixture.evalLogits));
    if (fixture.transformedLogits) {
      await test.step("transforms its input as it does", () => {
        const transforming = make(name, fixture, { transformInput: true });
        parity.copyInto(transforming);
        parity.assertLogits(fixture.transformedLogits!, transforming);
        transforming.dispose();
      });
    }
    for (const by of ["sgd", "adam"] as const) {
      await test.step(`learns as it does by ${by}`, async () => {
        parity.reset();
        await parity.assertLearns(by, true);
      });
    }
    if (EAGER.includes(name)) {
      await test.step("learns as it does by sgd, op by op", async () => {
        parity.reset();
        await parity.assertLearns("sgd", false);
      });
    }
    parity.dispose();
    model.dispose();
    assert.ok(tf.memory().numTensors <= before + 2, "nothing but the step's seed stays behind");
  });
}

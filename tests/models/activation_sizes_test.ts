import assert from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { activationSizes } from "../../src/models/activation_sizes.ts";
import { createModel } from "../../src/models/create_model.ts";

Deno.test("activationSizes() counts the outputs of a network's layers, from the first one that learns on", async () => {
  await openEngine();
  const model = createModel("resnet18", { numClasses: 3, seed: 1 });
  const before = tf.memory().numTensors;
  const { least, estimated } = activationSizes(model, [224, 224]);
  assert.equal(tf.memory().numTensors, before);
  // conv1; two blocks each of 64, 128, 256 and 512 channels, with a downsampling convolution from the second on; fc.
  const floats = (side: number) =>
    64 * (side / 2) ** 2 + 4 * 64 * (side / 4) ** 2 +
    5 * (128 * (side / 8) ** 2 + 256 * (side / 16) ** 2 + 512 * (side / 32) ** 2);
  assert.equal(least, 4 * (floats(224) + 3));
  assert.ok(estimated > 2 * least && estimated < 4 * least, `${estimated} of ${least}`);
  assert.equal(activationSizes(model, [64, 64]).least, 4 * (floats(64) + 3));
  model.dispose();
  const head = createModel("resnet18", { numClasses: 3, seed: 1, featureExtract: true });
  assert.deepEqual(activationSizes(head, [224, 224]), { least: 12, estimated: 12 });
  head.dispose();
});

import assert from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { tensorFrom } from "../../src/engine/transfer.ts";
import { createModel } from "../../src/models/create_model.ts";
import { publicWeightName } from "../../src/models/efficientnet_lite.ts";
import { parametersOf } from "../../src/models/parameters.ts";
import { assertWithin, fill, type FilledInput, inputImages, readFixture } from "./fixture_model.ts";

await openEngine();

interface Fixture {
  filled: { input: FilledInput; logits: number[][] };
}

const fixture = await readFixture<Fixture>("efficientnet_lite0");

Deno.test("efficientnet_lite0 gives the PyTorch implementation's logits for given parameters", () => {
  const model = createModel("efficientnet_lite0", { numClasses: fixture.filled.logits[0].length });
  const [count, , height, width] = fixture.filled.input.shape;
  fill(model, parametersOf(model), "classifier.1", publicNames());
  const logits = tf.tidy(() => {
    const bytes = new Uint8Array(inputImages(fixture.filled.input).buffer);
    const input = tensorFrom([count, height, width, 3], "float32", bytes);
    return (model.predict(input) as tf.Tensor2D).arraySync();
  });
  assertWithin(logits.flat(), fixture.filled.logits.flat(), 1e-4, "logits");
  model.dispose();
});

/** This model's names of parameters and buffers → those of the public weights. */
function publicNames(): Map<string, string> {
  const layers = ["_conv_stem", "_bn0", "_conv_head", "_bn1", "_fc"];
  for (let block = 0; block < 16; block++) {
    for (
      const part of ["_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
    ) {
      layers.push(`_blocks.${block}.${part}`);
    }
  }
  const suffixes = ["weight", "bias", "running_mean", "running_var"];
  return new Map(
    layers.flatMap((layer) => suffixes.map((suffix) => `${layer}.${suffix}`))
      .map((name) => [publicWeightName(name), name]),
  );
}

Deno.test("publicWeightName() leaves other names as they are", () => {
  assert.equal(publicWeightName("_blocks.0._expand_conv.weight"), "_blocks.0._expand_conv.weight");
  assert.equal(publicWeightName("_blocks.16._bn1.bias"), "_blocks.16._bn1.bias");
  assert.equal(publicWeightName("layer1.0.conv1.weight"), "layer1.0.conv1.weight");
  assert.equal(
    publicWeightName("_blocks.1._depthwise_conv.weight"),
    "features.2.0.block.1.0.weight",
  );
});

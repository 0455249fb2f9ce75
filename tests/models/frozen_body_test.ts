import assert from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";
import type { ModelName } from "../../src/models/registry.ts";
import { createModel, type ModelOptions } from "../../src/models/create_model.ts";
import { findFrozenBody } from "../../src/models/frozen_body.ts";

await openEngine();

const EXTRACT = { featureExtract: true } as const;

function find(name: ModelName, options: Omit<ModelOptions, "numClasses">) {
  const model = createModel(name, { numClasses: 3, ...options });
  const found = findFrozenBody(model);
  model.dispose();
  return "obstacle" in found ? found.obstacle : found.name;
}

Deno.test("findFrozenBody() cuts before the first layer that learns or drops", () => {
  const places: [ModelName, string][] = [
    ["plain_cnn", "avgpool"],
    ["resnet18", "avgpool"],
    ["densenet121", "avgpool"],
    ["efficientnet_lite0", "avgpool"],
    ["mobilenet_v2", "avgpool"],
    ["squeezenet1_1", "features.12.concat"],
    ["alexnet", "avgpool"],
  ];
  for (const [name, place] of places) assert.equal(find(name, EXTRACT), place, name);
  const head = [{ Linear: { outFeatures: 8 } }, { Dropout: { p: 0.5 } }, {
    Linear: { outFeatures: "classes" as const },
  }];
  assert.equal(find("densenet121", { ...EXTRACT, head }), "avgpool", "a head of its own");
  assert.equal(find("efficientnet_lite0", { ...EXTRACT, dropout: 0 }), "classifier.0");
  assert.equal(find("plain_cnn", { train: ["conv3.*", "fc.*"] }), "pool2", "a part of a chain");
});

Deno.test("findFrozenBody() names what stands in the way, and the cure", () => {
  assert.match(find("plain_cnn", {}), /conv1\.weight learns: set model\.featureExtract to true/);
  assert.match(
    find("resnet18", { train: ["layer4.*", "fc.*"] }),
    /layer4\.0\.conv1\.weight learns: .*leave it out of model\.train/,
  );
  assert.match(
    find("efficientnet_lite0", { ...EXTRACT, freezeBatchNorm: false }),
    /BatchNorm layer features\.0\.1 runs in training mode: set model\.freezeBatchNorm to true/,
  );
  assert.match(
    find("efficientnet_lite0", { train: ["classifier.*"] }),
    /features\.2\.1\.drop drops at random: set model\.stochasticDepth/,
  );
  assert.match(find("inception_v3", EXTRACT), /inception_v3 has an auxiliary classifier/);
});

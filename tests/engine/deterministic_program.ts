/**
 * The part of the test of deterministic runs that runs in a process of its own: takes steps on the CPU, and prints a
 * digest of what they learned.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { syntheticImages } from "../../src/bench/synthetic.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { isDeterministic } from "../../src/engine/native_runtime.ts";
import { createModel } from "../../src/models/create_model.ts";
import type { ModelName } from "../../src/models/registry.ts";
import { optimizerConfig } from "../../src/optim/config.ts";
import { Replica } from "../../src/train/replica.ts";

const BATCH = 6;
const SIDE = 64;

const [mode, model = "mobilenet_v2"] = Deno.args;
await openEngine({ device: "cpu", deterministic: mode === "deterministic" });
using replica = new Replica(createModel(model as ModelName, { numClasses: 3, seed: 1 }), {
  optimizer: { settings: optimizerConfig({ optimizer: "sgd" }), lr: 0.01 },
  capture: true,
});
const labels = Int32Array.from({ length: BATCH }, (_, row) => row % 3);
const losses = [];
for (let step = 0; step < 3; step++) {
  const batch = { images: syntheticImages(BATCH, SIDE), labels, height: SIDE, width: SIDE };
  const place = { seed: [0, step], globalRows: BATCH, rowOffset: 0 } as const;
  losses.push((await replica.forwardBackward(batch, place)).lossSum);
  await replica.step({ rates: [0.01], step: step + 1, squares: 0 });
}
const hash = createHash("sha256");
for (const weight of replica.model.getWeights()) hash.update(weight.dataSync());
console.log(JSON.stringify({ losses, digest: hash.digest("hex"), composed: isDeterministic() }));

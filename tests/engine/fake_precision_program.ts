/**
 * The part of the tests of precision on fake GPUs that runs on the fake machine: takes steps, and prints the kernels of
 * the last one and of all.
 *
 * @module
 */
import { syntheticImages } from "../../src/bench/synthetic.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { type Precision, precisionNamed } from "../../src/engine/precision.ts";
import { createModel } from "../../src/models/create_model.ts";
import type { ModelName } from "../../src/models/registry.ts";
import { optimizerConfig } from "../../src/optim/config.ts";
import { Replica } from "../../src/train/replica.ts";
import { FakeDriver } from "../support/fake_cuda/driver.ts";

const BATCH = 8;
const CLASSES = 3;
const STEPS = 3;

const [models, name, mode, side = "64"] = Deno.args;
const precision = precisionNamed(name!)!;
const deterministic = mode === "deterministic";
await openEngine({ device: "gpu", precision, deterministic });
const results: Record<string, unknown> = {};
for (const model of models!.split(",")) {
  results[model] = await steps(model as ModelName, precision).catch(String);
}
console.log(JSON.stringify(results));

async function steps(model: ModelName, precision: Precision) {
  using replica = new Replica(createModel(model, { numClasses: CLASSES }), {
    optimizer: { settings: optimizerConfig({ optimizer: "sgd" }), lr: 0.01 },
    capture: true,
    call: { precision },
  });
  const sides = { height: Number(side), width: Number(side) };
  const labels = Int32Array.from({ length: BATCH }, (_, row) => row % CLASSES);
  const images = { images: syntheticImages(BATCH, sides.height), labels, ...sides };
  const driver = new FakeDriver();
  let before: Readonly<Record<string, number>> = {};
  let last: Record<string, number> = {};
  for (let step = 0; step < STEPS; step++) {
    await replica.forwardBackward(images, { seed: [0, 0], globalRows: BATCH, rowOffset: 0 });
    const { kernels } = await driver.ownRecord();
    last = Object.fromEntries(
      Object.entries(kernels).map(([kernel, count]) => [kernel, count - (before[kernel] ?? 0)]),
    );
    before = kernels;
  }
  await replica.evaluate(images);
  const { stubs } = await driver.ownRecord();
  return { last, all: before, mathModes: stubs.cublasSetMathMode ?? 0 };
}

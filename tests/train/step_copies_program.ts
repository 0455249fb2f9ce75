/**
 * The part of the test of a step's copies that runs on a fake machine: takes steps, and prints what each of them copied.
 *
 * Usage: step_copies_program.ts MODEL ROWS MICRO_BATCH_SIZE
 *
 * @module
 */
import { syntheticImages } from "../../src/bench/synthetic.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { createModel } from "../../src/models/create_model.ts";
import type { ModelName } from "../../src/models/registry.ts";
import { optimizerConfig } from "../../src/optim/config.ts";
import { Replica } from "../../src/train/replica.ts";
import type { Copies } from "../support/fake_cuda/record.ts";
import { FakeDriver } from "../support/fake_cuda/driver.ts";

const SIDE = 32, CLASSES = 3, STEPS = 4;

const [name, ...numbers] = Deno.args;
const [rows, microBatchSize] = numbers.map(Number);
await openEngine({ device: "gpu" });
const model = createModel(name as ModelName, { numClasses: CLASSES, freezeBatchNorm: true });
using replica = new Replica(model, {
  optimizer: { settings: optimizerConfig({ optimizer: "adam" }), lr: 0.01 },
  capture: true,
  microBatchSize,
});
const images = syntheticImages(rows!, SIDE);
const labels = Int32Array.from({ length: rows! }, (_, index) => index % CLASSES);
const driver = new FakeDriver();
const steps = [];
let before = (await driver.ownRecord()).devices[0]!;
/** The copies since the last call. */
async function copies(): Promise<Copies> {
  const now = (await driver.ownRecord()).devices[0]!;
  const made = {
    copiesUp: now.copiesUp - before.copiesUp,
    bytesUp: now.bytesUp - before.bytesUp,
    copiesDown: now.copiesDown - before.copiesDown,
    bytesDown: now.bytesDown - before.bytesDown,
  };
  before = now;
  return made;
}
for (let step = 0; step < STEPS; step++) {
  const place = { seed: [0, step] as const, globalRows: rows!, rowOffset: 0 };
  await replica.forwardBackward({ images, labels, height: SIDE, width: SIDE }, place);
  await replica.step({ rates: [0.01], step: step + 1, squares: 0 });
  steps.push(await copies());
}
await replica.digest(); // the first call traces
await copies();
await replica.digest();
const digest = await copies();
const batch = { images, labels, height: SIDE, width: SIDE };
const origin = await replica.findNonFinite(batch, {
  ...{ seed: [0, STEPS], globalRows: rows!, rowOffset: 0 },
});
const batchBytes = images.data.byteLength + labels.byteLength;
console.log(
  JSON.stringify({ batchBytes, parameterBytes: replica.state.vectorBytes, steps, digest, origin }),
);
Deno.exit(0);

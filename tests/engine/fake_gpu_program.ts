/**
 * The part of the tests of the engine on fake GPUs that runs on the fake machine: prints what it finds as JSON.
 *
 * @module
 */
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { createModel } from "../../src/models/create_model.ts";
import type { ModelName } from "../../src/models/registry.ts";
import { optimizerConfig } from "../../src/optim/config.ts";
import { Replica } from "../../src/train/replica.ts";
import { syntheticImages } from "../../src/bench/synthetic.ts";
import { FakeDriver } from "../support/fake_cuda/driver.ts";

const BATCH = 4;
const SIDE = 32;
const CLASSES = 3;

const [task, model = "plain_cnn", gpu] = Deno.args;
const { devices } = await openEngine({ device: "gpu", ...(gpu ? { gpu } : {}) });
if (task === "devices") console.log(JSON.stringify(devices.map(({ name }) => name)));
else console.log(JSON.stringify(await steps(model as ModelName)));

async function steps(name: ModelName) {
  using replica = new Replica(createModel(name, { numClasses: CLASSES }), {
    optimizer: { settings: optimizerConfig({ optimizer: "sgd" }), lr: 0.01 },
    capture: true,
  });
  const images = {
    images: syntheticImages(BATCH, SIDE),
    labels: Int32Array.from({ length: BATCH }, (_, index) => index % CLASSES),
    height: SIDE,
    width: SIDE,
  };
  const place = { seed: [0, 0] as const, globalRows: BATCH, rowOffset: 0 };
  const driver = new FakeDriver();
  const counts = [];
  for (let step = 0; step < 3; step++) {
    await replica.forwardBackward(images, place);
    await replica.step({ rates: [0.01], step: step + 1, squares: 0 });
    counts.push(await driver.ownRecord());
  }
  const ops: Record<string, string[]> = {};
  for (const { fn, inputs } of await replica.calls(images, place)) {
    const [run] = await fn.profile(inputs, 1);
    for (const { device, op } of run!.nodes) (ops[device] ??= []).push(op);
    tf.dispose([...inputs]);
  }
  return { counts, ops };
}

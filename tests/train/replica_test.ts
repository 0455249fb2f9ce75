import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import type { ModelName } from "../../src/models/registry.ts";
import { createModel } from "../../src/models/create_model.ts";
import { Replica } from "../../src/train/replica.ts";
import {
  optimizerStateOf,
  setOptimizerState,
  setState,
  stateOf,
} from "../../src/train/load_weights.ts";

const { runtime } = await openEngine();

const SGD = {
  settings: { optimizer: "sgd", momentum: 0.9, dampening: 0, weightDecay: 1e-3, nesterov: true },
  lr: 0.05,
} as const;

function makeReplica(name: ModelName, { capture = true, seed = 5, featureExtract = false } = {}) {
  const model = createModel(name, { numClasses: 3, seed, featureExtract });
  return new Replica(model, { optimizer: SGD, capture });
}

function makeBatch(rows: number, side: number, shift = 0) {
  const images = Float32Array.from(
    { length: rows * side * side * 3 },
    (_, index) => Math.sin(index * 12.9898 + shift) * 1.5,
  );
  const labels = Int32Array.from({ length: rows }, (_, index) => (index + shift) % 3);
  return { images, labels, height: side, width: side };
}

async function train(replica: Replica, steps: number, rows = 4, side = 16): Promise<number[]> {
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const place = { seed: [9, step], globalRows: rows, rowOffset: 0 } as const;
    const { lossSum } = await replica.forwardBackward(makeBatch(rows, side, step), place);
    await replica.step({ rates: [0.05 / (1 + step)], step: step + 1, squares: 0 });
    losses.push(lossSum / rows);
  }
  return losses;
}

function relativeDifference(a: Uint8Array, b: Uint8Array): number {
  const x = new Float32Array(a.buffer);
  const y = new Float32Array(b.buffer);
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < x.length; i++) {
    difference += (x[i] - y[i]) ** 2;
    norm += y[i] ** 2;
  }
  return Math.sqrt(difference / norm);
}

for (const name of ["plain_cnn", "resnet18", "efficientnet_lite0"] as const) {
  const side = name === "plain_cnn" ? 16 : 32;
  Deno.test(`Replica trains ${name} to the same numbers captured and eager`, async () => {
    const captured = makeReplica(name);
    const eager = makeReplica(name, { capture: false });
    assert.deepEqual(
      await captured.state.exportState(),
      await eager.state.exportState(),
      "the same seed",
    );
    const losses = [await train(captured, 4, 4, side), await train(eager, 4, 4, side)];
    losses[0].forEach((loss, step) =>
      assert.ok(
        Math.abs(loss - losses[1][step]) <= 1e-4 * Math.abs(losses[1][step]),
        `step ${step}`,
      )
    );
    assert.ok(
      relativeDifference(await captured.state.exportState(), await eager.state.exportState()) <
        1e-4,
    );
    const batch = makeBatch(3, side);
    const scores = [await captured.evaluate(batch), await captured.evaluate(batch)];
    assert.deepEqual(scores[1], scores[0], "traced and called");
    const reference = await eager.evaluate(batch);
    assert.deepEqual(scores[0].ranked, reference.ranked);
    captured.dispose();
    eager.dispose();
  });
}

Deno.test("Replica gives the same bits for the same seed", async () => {
  const states = [];
  for (let run = 0; run < 2; run++) {
    const replica = makeReplica("efficientnet_lite0");
    await train(replica, 3, 4, 32);
    states.push(await replica.state.exportState());
    replica.dispose();
  }
  assert.deepEqual(states[1], states[0]);
});

Deno.test("Replica changes nothing but the head when features are extracted", async () => {
  const replica = makeReplica("efficientnet_lite0", { featureExtract: true });
  assert.deepEqual(replica.state.trainable.map(({ name }) => name), [
    "classifier.1.weight",
    "classifier.1.bias",
  ]);
  assert.equal(replica.state.vectorBytes, 4 * (1280 * 3 + 16));
  const before = stateOf(replica.state.parameters);
  await train(replica, 2, 4, 32);
  const changed = [...stateOf(replica.state.parameters)].filter(([name, { data }]) =>
    Buffer.compare(data, before.get(name)!.data) !== 0
  );
  assert.deepEqual(
    changed.map(([name]) => name).sort(),
    replica.state.trainable.map((p) => p.name).sort(),
  );
  replica.dispose();
});

Deno.test("Replica's state goes out under PyTorch's names and comes back bit for bit", async () => {
  const source = makeReplica("resnet18");
  await train(source, 2, 2, 32);
  const target = makeReplica("resnet18", { seed: 6 });
  assert.notEqual(
    Buffer.compare(await target.state.exportState(), await source.state.exportState()),
    0,
  );
  setState(target.model, stateOf(source.state.parameters), "the test");
  await setOptimizerState(target.state, await optimizerStateOf(source.state));
  assert.equal(
    Buffer.compare(await target.state.exportState(), await source.state.exportState()),
    0,
  );
  await assert.rejects(target.state.importState(new Uint8Array(4)), RangeError);
  const shapes = new Map(
    [...stateOf(source.state.parameters)].map(([name, { shape }]) => [name, shape]),
  );
  assert.deepEqual(shapes.get("conv1.weight"), [64, 3, 7, 7]);
  assert.deepEqual(shapes.get("layer2.0.downsample.0.weight"), [128, 64, 1, 1]);
  assert.deepEqual(shapes.get("fc.weight"), [3, 512]);
  source.dispose();
  target.dispose();
});

Deno.test("Replica leaks neither tensors nor memory in 200 steps", async () => {
  const replica = makeReplica("plain_cnn");
  await train(replica, 20, 8, 32);
  const tensors = runtime.tensorCount;
  const tracked = tf.memory().numTensors;
  const resident = Deno.memoryUsage().rss;
  await train(replica, 200, 8, 32);
  for (let pass = 0; pass < 50; pass++) await replica.evaluate(makeBatch(8, 32));
  assert.equal(runtime.tensorCount, tensors);
  assert.equal(tf.memory().numTensors, tracked);
  const grown = (Deno.memoryUsage().rss - resident) / 2 ** 20;
  // A leaked batch per step would be 200 × 98 kB, leaked gradients as much again.
  assert.ok(grown < 16, `resident memory grew by ${grown.toFixed(1)} MiB`);
  replica.dispose();
});

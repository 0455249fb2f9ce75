import assert from "node:assert/strict";
import { floatsOf, shardOf } from "../../src/base/float_range.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { loneBuffers, type StepBuffers } from "../../src/exchange/step_buffers.ts";
import { createModel } from "../../src/models/create_model.ts";
import { ReplicaState } from "../../src/train/replica_state.ts";

await openEngine();

const SGD = { optimizer: "sgd", momentum: 0.5, dampening: 0, weightDecay: 0, nesterov: false };

function makeState({ ema = false, clipGradNorm }: { ema?: boolean; clipGradNorm?: number } = {}) {
  const model = createModel("resnet18", { numClasses: 3, seed: 5 });
  const clip = clipGradNorm === undefined ? {} : { clipGradNorm };
  const options = { settings: SGD as never, lr: 0.1, ...clip };
  const averages = ema ? { decay: 0.5, everySteps: 1, rule: "steps" as const } : undefined;
  return new ReplicaState(model, options, averages);
}

/** Two ranks' buffers in common memory, each with a shard. */
function twoRanks(vectorBytes: number, regions: number): StepBuffers[] {
  const first = loneBuffers(vectorBytes, regions);
  return [0, 1].map((rank) => {
    const { vector, reduced } = loneBuffers(vectorBytes, 0);
    return { vector, reduced, regions: first.regions, shard: shardOf(rank, 2, vectorBytes) };
  });
}

const step = (squares = 0) => ({ rates: [0.1], step: 1, squares });

Deno.test("ReplicaState lays parameters that learn before statistics, each at a cache line", () => {
  using state = makeState();
  const { layout, learning, exchanged, gradientBytes, vectorBytes } = state;
  assert.ok(layout.places.every(({ begin }) => begin % 16 === 0));
  assert.equal(
    exchanged.length - learning.length,
    2 * 20,
    "mean and variance of 20 BatchNorm layers",
  );
  assert.equal(gradientBytes, 4 * layout.places[learning.length].begin);
  assert.equal(vectorBytes, 4 * layout.floats);
  assert.deepEqual([state.regions, state.buffers.regions.length], [1, 1]);
});

Deno.test("ReplicaState.update() takes SGD's step and the statistics of its shard alone", async () => {
  using state = makeState();
  const [own] = twoRanks(state.vectorBytes, 1);
  state.attach(own);
  const [region] = own.regions;
  const before = floatsOf(region).slice();
  floatsOf(own.reduced).fill(2);
  await state.update(step());
  const after = floatsOf(region);
  const { shard: { end } } = own;
  const border = state.gradientBytes / 4;
  const { places } = state.layout;
  for (const [index, { begin }] of places.entries()) {
    const isStatistic = index >= state.learning.length;
    const expected = begin >= end
      ? before[begin]
      : isStatistic
      ? 2
      : Math.fround(before[begin] - Math.fround(Math.fround(0.1) * 2));
    assert.equal(after[begin], expected, `value ${begin}`);
  }
  assert.ok(end < border, "or the test shows nothing");
});

Deno.test("two ranks' updates in common memory are one replica's, bit for bit", async () => {
  using lone = makeState({ ema: true });
  using first = makeState({ ema: true });
  using second = makeState({ ema: true });
  const buffers = twoRanks(lone.vectorBytes, 2);
  [first, second].forEach((state, rank) => state.attach(buffers[rank]));
  for (const count of [1, 2]) {
    const gradients = Float32Array.from(
      { length: lone.layout.floats },
      (_, index) => Math.sin(count * index),
    );
    for (const { reduced } of [lone.buffers, ...buffers]) floatsOf(reduced).set(gradients);
    for (const state of [lone, first, second]) await state.update({ ...step(), step: count });
  }
  assert.deepEqual(buffers[0].regions, lone.buffers.regions);
  const whole = lone.slotVector(0);
  const halves = [first, second].map((state) => floatsOf(state.slotVector(0)));
  const joined = halves[0].map((value, index) => value + halves[1][index]);
  assert.deepEqual(joined, floatsOf(whole), "each holds its part of the momentum");
});

Deno.test("ReplicaState.update() leaves alone what there is nothing new for", async () => {
  using state = makeState({ ema: true });
  const [values, averages] = state.buffers.regions;
  const before = [values.slice(), averages.slice()];
  floatsOf(state.buffers.reduced).fill(3);
  await state.update({ ...step(), learns: false, hasStatistics: false });
  assert.deepEqual([values, averages], before);
  await state.update({ ...step(), learns: false });
  const border = state.gradientBytes;
  assert.deepEqual(values.subarray(0, border), before[0].subarray(0, border));
  assert.equal(floatsOf(values).at(border / 4), 3);
  assert.deepEqual(averages, before[1], "averages follow optimizer steps");
});

Deno.test("clipAndSumSquares() adds range by range, of gradients alone, and the update scales by it", async () => {
  using plain = makeState();
  assert.equal(plain.clipAndSumSquares([plain.buffers.shard]), 0, "nobody needs it");
  using state = makeState({ clipGradNorm: 1 });
  const { buffers, layout, gradientBytes } = state;
  const gradients = floatsOf(buffers.reduced);
  gradients.fill(2);
  const half = { begin: 0, end: 1600 };
  const rest = { begin: 1600, end: layout.floats };
  const squares = state.clipAndSumSquares([half, rest]);
  assert.equal(squares, 4 * gradientBytes / 4);
  assert.equal(state.clipAndSumSquares([]), 0);
  const before = floatsOf(buffers.regions[0])[0];
  await state.update(step(squares));
  const scaled = 2 / Math.sqrt(squares);
  const change = before - floatsOf(buffers.regions[0])[0];
  assert.ok(Math.abs(change - 0.1 * scaled) < 1e-6, `${change}`);
});

Deno.test("a state is exported and imported whole or in parts, and refused at another size", async () => {
  using state = makeState({ ema: true });
  floatsOf(state.buffers.reduced).fill(0.5);
  await state.update(step());
  const { bytes, part } = state.exportState();
  assert.deepEqual(part, { model: true, shard: { begin: 0, end: state.layout.floats } });
  assert.equal(bytes.length, state.stateBytes);
  using copy = makeState({ ema: true });
  copy.importState(bytes);
  assert.deepEqual(copy.exportState().bytes, bytes);
  assert.throws(
    () => copy.importState(bytes.subarray(4)),
    /^RangeError: State has \d+ bytes, expected/,
  );
  using half = makeState({ ema: true });
  const [buffers] = twoRanks(state.vectorBytes, 2);
  half.attach(buffers);
  half.importState(bytes);
  const own = half.exportState(false);
  assert.deepEqual(own.part, { model: false, shard: buffers.shard });
  assert.equal(own.bytes.length, 4 * (buffers.shard.end - buffers.shard.begin));
  assert.throws(() => half.attach(loneBuffers(state.vectorBytes, 1)), /^RangeError: 1 vectors of/);
});

Deno.test("withAverages() shows the averages, and the present weights again afterwards", async () => {
  using state = makeState({ ema: true });
  const [{ variable }] = state.trainable;
  const start = variable.dataSync().slice();
  floatsOf(state.buffers.reduced).fill(1);
  for (const count of [1, 2]) await state.update({ ...step(), step: count });
  const present = variable.dataSync().slice();
  const averaged = await state.withAverages(() => variable.dataSync().slice());
  assert.notDeepEqual(present, start);
  assert.notDeepEqual(averaged, present);
  assert.deepEqual(variable.dataSync(), present);
  state.resetAverages();
  assert.deepEqual(await state.withAverages(() => variable.dataSync().slice()), present);
});

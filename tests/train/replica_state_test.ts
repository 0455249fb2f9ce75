import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { floatsOf, shardOf } from "../../src/base/float_range.ts";
import { hostOf } from "../../src/engine/device_memory.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { VersionedMemory } from "../../src/engine/versioned_memory.ts";
import { loneBuffers, type StepBuffers } from "../../src/exchange/step_buffers.ts";
import { createModel } from "../../src/models/create_model.ts";
import { ReplicaState, type ReplicaUpdate } from "../../src/train/replica_state.ts";

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
  const pairs = loneBuffers(vectorBytes, regions).regions.map((
    { current, next },
  ) => [current, next]);
  return [0, 1].map((rank) => {
    const { vector, reduced } = loneBuffers(vectorBytes, 0);
    return {
      vector,
      reduced,
      regions: pairs.map(([current, next]) => new VersionedMemory(current, next)),
      shard: shardOf(rank, 2, vectorBytes),
    };
  });
}

const step = (squares = 0) => ({ rates: [0.1], step: 1, squares });

/** The bytes of the current versions of all regions. */
function currentOf({ regions }: StepBuffers): Uint8Array[] {
  return regions.map(({ current }) => hostOf(current));
}

/** SHA-256 of each of them. */
function digestsOf(buffers: StepBuffers): string[] {
  return currentOf(buffers).map((bytes) => createHash("sha256").update(bytes).digest("hex"));
}

async function takeStep(state: ReplicaState, update: ReplicaUpdate) {
  await state.update(update);
  state.commit();
}

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
  assert.deepEqual([state.regions, state.buffers.regions.length], [2, 2], "values and momentum");
});

Deno.test("ReplicaState.update() takes SGD's step and the statistics of its shard alone", async () => {
  using state = makeState();
  const [own] = twoRanks(state.vectorBytes, 2);
  state.attach(own);
  const [region] = own.regions;
  const before = floatsOf(hostOf(region.current)).slice();
  floatsOf(hostOf(own.reduced)).fill(2);
  await state.update(step());
  assert.deepEqual(floatsOf(hostOf(region.current)), before, "version t is whole until the commit");
  const after = floatsOf(hostOf(region.next));
  const { shard: { end } } = own;
  const border = state.gradientBytes / 4;
  const { places } = state.layout;
  for (const [index, { begin }] of places.entries()) {
    const isStatistic = index >= state.learning.length;
    const expected = begin >= end
      ? 0
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
  const buffers = twoRanks(lone.vectorBytes, 3);
  [first, second].forEach((state, rank) => state.attach(buffers[rank]));
  for (const count of [1, 2]) {
    const gradients = Float32Array.from(
      { length: lone.layout.floats },
      (_, index) => Math.sin(count * index),
    );
    for (const { reduced } of [lone.buffers, ...buffers]) floatsOf(hostOf(reduced)).set(gradients);
    for (const state of [lone, first, second]) await state.update({ ...step(), step: count });
    for (const state of [lone, first, second]) state.commit();
  }
  for (const own of buffers) assert.deepEqual(currentOf(own), currentOf(lone.buffers));
  assert.deepEqual(await second.readSlot(0), await lone.readSlot(0), "the whole momentum");
});

Deno.test("ReplicaState.update() leaves alone what there is nothing new for", async () => {
  using state = makeState({ ema: true });
  const all = () => currentOf(state.buffers).map((bytes) => bytes.slice());
  const before = all();
  floatsOf(hostOf(state.buffers.reduced)).fill(3);
  await takeStep(state, { ...step(), learns: false, hasStatistics: false });
  assert.deepEqual(all(), before);
  await takeStep(state, { ...step(), learns: false });
  const [values, momentum, averages] = all();
  const border = state.gradientBytes;
  assert.deepEqual(values.subarray(0, border), before[0].subarray(0, border));
  assert.equal(floatsOf(values).at(border / 4), 3);
  assert.deepEqual([momentum, averages], before.slice(1), "these follow optimizer steps");
  await takeStep(state, { ...step(), newShare: 0 });
  assert.notDeepEqual(all()[1], momentum);
  assert.deepEqual(all()[2], averages, "a share of 0 makes no new version");
});

Deno.test("an update that isn't committed leaves no trace, and the next one starts from the same version", async () => {
  using state = makeState({ ema: true });
  using other = makeState({ ema: true });
  floatsOf(hostOf(state.buffers.reduced)).fill(NaN);
  await state.update(step());
  assert.deepEqual(currentOf(state.buffers), currentOf(other.buffers));
  for (const each of [state, other]) {
    floatsOf(hostOf(each.buffers.reduced)).fill(0.25);
    await takeStep(each, step());
  }
  assert.deepEqual(currentOf(state.buffers), currentOf(other.buffers));
  const [{ variable }] = state.trainable;
  const [values] = currentOf(state.buffers);
  assert.equal(variable.dataSync()[0], floatsOf(values)[0], "variables show the new version");
});

Deno.test("sumSquares() adds range by range, of gradients alone, and the update scales by it", async () => {
  using plain = makeState();
  assert.equal(plain.sumSquares([plain.buffers.shard]), 0, "nobody needs it");
  using state = makeState({ clipGradNorm: 1 });
  const { buffers, layout, gradientBytes } = state;
  const gradients = floatsOf(hostOf(buffers.reduced));
  gradients.fill(2);
  const half = { begin: 0, end: 1600 };
  const rest = { begin: 1600, end: layout.floats };
  const squares = state.sumSquares([half, rest]);
  assert.equal(squares, 4 * gradientBytes / 4);
  assert.equal(state.sumSquares([]), 0);
  const first = () => floatsOf(hostOf(buffers.regions[0].current))[0];
  const before = first();
  await takeStep(state, step(squares));
  const scaled = 2 / Math.sqrt(squares);
  const change = before - first();
  assert.ok(Math.abs(change - 0.1 * scaled) < 1e-6, `${change}`);
});

Deno.test("a state is exported and imported, whichever version is current, and refused at another size", async () => {
  using state = makeState({ ema: true });
  for (const count of [1, 2]) {
    floatsOf(hostOf(state.buffers.reduced)).fill(0.5 * count);
    await takeStep(state, { ...step(), step: count });
    const bytes = await state.exportState();
    assert.equal(bytes.length, state.stateBytes);
    using copy = makeState({ ema: true });
    await copy.importState(bytes);
    assert.deepEqual(await copy.exportState(), bytes);
    await assert.rejects(
      copy.importState(bytes.slice(4)),
      /^RangeError: State has \d+ bytes, expected/,
    );
  }
  assert.throws(() => state.attach(loneBuffers(state.vectorBytes, 1)), /^RangeError: 1 vectors of/);
});

Deno.test("withAverages() shows the averages, and the present weights again afterwards", async () => {
  using state = makeState({ ema: true });
  const [{ variable }] = state.trainable;
  const start = variable.dataSync().slice();
  floatsOf(hostOf(state.buffers.reduced)).fill(1);
  for (const count of [1, 2]) await takeStep(state, { ...step(), step: count });
  const present = variable.dataSync().slice();
  const averaged = await state.withAverages(() => variable.dataSync().slice());
  assert.notDeepEqual(present, start);
  assert.notDeepEqual(averaged, present);
  assert.deepEqual(variable.dataSync(), present);
  state.resetAverages();
  assert.deepEqual(await state.withAverages(() => variable.dataSync().slice()), present);
});

Deno.test("ReplicaState.uncommit() gives back every bit of the version before, once, and the step can be taken again", async () => {
  using state = makeState({ ema: true });
  const all = () => digestsOf(state.buffers);
  const take = async (count: number) => {
    floatsOf(hostOf(state.buffers.reduced)).fill(0.25 * count);
    await takeStep(state, { ...step(), step: count });
  };
  await take(1);
  const before = all();
  await take(2);
  const after = all();
  assert.notDeepEqual(after[2], before[2], "averages as well");
  state.uncommit();
  assert.deepEqual(all(), before);
  const [{ variable }] = state.trainable;
  const [{ current }] = state.buffers.regions;
  assert.equal(variable.dataSync()[0], floatsOf(hostOf(current))[0], "variables show that version");
  assert.throws(() => state.uncommit(), TypeError);
  await take(2);
  assert.deepEqual(all(), after);
});

Deno.test("ReplicaState.move() keeps every bit, from shards in common memory to memory of its own and back", async () => {
  using lone = makeState({ ema: true });
  using first = makeState({ ema: true });
  using second = makeState({ ema: true });
  const states = [first, second];
  const place = (buffers: readonly StepBuffers[], move: boolean) =>
    states.forEach((state, rank) =>
      move ? state.move(buffers[rank]!) : state.attach(buffers[rank]!)
    );
  const shards = () => twoRanks(lone.vectorBytes, 3);
  const own = () => [0, 1].map(() => loneBuffers(lone.vectorBytes, 3));
  let count = 0;
  const take = async () => {
    count++;
    const all = [lone, ...states];
    for (const { buffers: { reduced } } of all) {
      floatsOf(hostOf(reduced)).fill(0.01 * count);
    }
    for (const state of all) await state.update({ ...step(), step: count });
    for (const state of all) state.commit();
  };
  place(shards(), false);
  await take();
  for (const make of [own, shards, shards, own]) {
    // A step that is broken off: statistics of its forward pass, and a version that is never committed.
    for (const state of states) {
      const { variable } = state.parameters.find(({ buffer }) => buffer)!;
      const other = variable.add(3) as typeof variable;
      variable.assign(other);
      other.dispose();
      floatsOf(hostOf(state.buffers.reduced)).fill(NaN);
      await state.update({ ...step(), step: count + 1 });
    }
    place(make(), true);
    for (const state of states) {
      assert.deepEqual(digestsOf(state.buffers), digestsOf(lone.buffers));
      assert.throws(() => state.uncommit(), TypeError, "the version before stayed where it was");
    }
    assert.deepEqual(await first.exportState(), await lone.exportState());
    await take();
    for (const state of states) {
      assert.deepEqual(digestsOf(state.buffers), digestsOf(lone.buffers));
    }
  }
});

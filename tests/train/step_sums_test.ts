import assert from "node:assert/strict";
import { floatsOf } from "../../src/base/float_range.ts";
import { TensorStore } from "../../src/engine/capture/tensor_store.ts";
import { hostOf } from "../../src/engine/device_memory.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { loneBuffers } from "../../src/exchange/step_buffers.ts";
import { layOut } from "../../src/optim/flat_layout.ts";
import { randomVariables } from "../../src/engine/random_state.ts";
import { NO_TOTALS, RESULTS, StepSums, type SumState } from "../../src/train/step_sums.ts";

await openEngine();
randomVariables(); // made with the first function, and kept

/** Two parameters that learn, of 2 and 3 values, and a running statistic of 2. */
function makeState() {
  const variables = [[1, 1], [1, 1, 1], [5, 6]].map((values) => tf.variable(tf.tensor1d(values)));
  const layout = layOut(variables.map(({ size }) => size));
  const buffers = loneBuffers(4 * layout.floats, 1);
  const store = new TensorStore(buffers.vector, layout.places);
  const state: SumState = {
    learning: variables.slice(0, 2),
    exchanged: variables,
    layout,
    store,
  };
  const valueAt = (index: number) => {
    const { begin, end } = layout.places[index];
    return [...floatsOf(hostOf(buffers.vector)).subarray(begin, end)];
  };
  const release = () => {
    store[Symbol.dispose]();
    tf.dispose(variables);
  };
  return { state, layout, release, valueAt };
}

const KNOWN = { weight: 4, statisticsRows: 4, trackedBatches: 2 };
const gradient = (index: number, ...values: number[]) =>
  [RESULTS.gradients + index, tf.tensor1d(values)] as [number, tf.Tensor];
const counts = (lossSum: number, correct: number) =>
  [[RESULTS.record, tf.tensor1d([lossSum, correct])]] as [number, tf.Tensor][];

Deno.test("StepSums adds the parts of a batch in place, statistics behind them with the last one", async () => {
  const { state, release, valueAt } = makeState();
  const before = tf.memory().numTensors;
  {
    using sums = new StepSums(state, KNOWN);
    assert.deepEqual(await sums.totals(), { ...NO_TOTALS, ...KNOWN });
    await sums.add(new Map([...counts(1.5, 2), gradient(0, 1, 2), gradient(1, 3, 4, 5)]), false);
    assert.deepEqual(valueAt(2), [0, 0], "no statistics before the last part");
    await sums.add(new Map([...counts(0.25, 1), gradient(0, 10, 20)]), true);
    await sums.add(new Map([gradient(1, 30, 40, 50)]), true);
    assert.deepEqual(await sums.totals(), { ...KNOWN, lossSum: 1.75, correct: 3 });
    assert.deepEqual([valueAt(0), valueAt(1), valueAt(2)], [[11, 22], [33, 44, 55], [5, 6]]);
    assert.equal(sums.begin, 0);
  }
  {
    using sums = new StepSums(state, KNOWN);
    await sums.add(new Map([...counts(1, 1), gradient(0, 1, 1), gradient(1, 2, 2, 2)]), true);
    assert.deepEqual([valueAt(0), valueAt(1)], [[1, 1], [2, 2, 2]], "not added to the step before");
  }
  assert.equal(tf.memory().numTensors, before, "it has released what it took over");
  release();
});

Deno.test("StepSums says from where on the vector is final, whatever order results come in", async () => {
  const { state, layout, release } = makeState();
  using sums = new StepSums(state, KNOWN);
  assert.equal(sums.begin, layout.places[2].begin, "all before the statistics is open");
  await sums.add(new Map([...counts(1, 1)]), true);
  assert.equal(sums.begin, layout.places[2].begin);
  await sums.add(new Map([gradient(1, 1, 2, 3)]), true);
  assert.equal(sums.begin, layout.places[1].begin);
  await sums.add(new Map([gradient(0, 1, 2)]), true);
  assert.equal(sums.begin, 0);

  const other = makeState();
  using backwards = new StepSums(other.state, KNOWN);
  await backwards.add(new Map([gradient(0, 1, 2)]), true);
  assert.equal(backwards.begin, layout.places[2].begin, "the last one is still missing");
  await backwards.add(new Map([gradient(1, 1, 2, 3)]), true);
  assert.equal(backwards.begin, 0);
  release();
  other.release();
});

import assert from "node:assert/strict";
import { CapturedFunction } from "../../../src/engine/capture/capture.ts";
import { openEngine } from "../../../src/engine/engine.ts";
import { dropout } from "../../../src/engine/native_ops.ts";
import { setStepSeed } from "../../../src/engine/random_state.ts";
import { EngineError } from "../../../src/engine/binding/status.ts";
import { tf } from "../../../src/engine/tf.ts";

const { runtime } = await openEngine();

function captured(
  variables: tf.Variable[],
  fn: (...inputs: tf.Tensor[]) => tf.Tensor[],
  capture = true,
): CapturedFunction {
  return new CapturedFunction("test", fn, { variables: () => variables, capture });
}

async function valuesOf(fn: CapturedFunction, ...inputs: tf.Tensor[]): Promise<number[]> {
  const [result] = await fn.call(inputs);
  const values = Array.from(result.dataSync());
  result.dispose();
  return values;
}

Deno.test("CapturedFunction takes inputs and variables anew at each call", async () => {
  const factor = tf.variable(tf.scalar(2), false);
  const fn = captured([factor], (x) => [tf.mul(x, factor)]);
  const a = tf.tensor1d([1, 2]);
  const b = tf.tensor1d([5, 6]);
  assert.deepEqual(await valuesOf(fn, a), [2, 4]);
  assert.deepEqual(await valuesOf(fn, b), [10, 12]);
  factor.assign(tf.scalar(3));
  assert.deepEqual(await valuesOf(fn, b), [15, 18]);
  assert.equal(fn.traceCount, 1);
  fn.dispose();
  tf.dispose([a, b, factor]);
});

Deno.test("CapturedFunction applies assignments once per call, the traced one included", async () => {
  const total = tf.variable(tf.scalar(0), false);
  const fn = captured([total], (x) => {
    total.assign(tf.add(total, x));
    return [tf.mul(total, 10)];
  });
  const one = tf.scalar(1);
  for (let call = 1; call <= 4; call++) {
    assert.deepEqual(await valuesOf(fn, one), [call * 10]);
    assert.equal(total.arraySync(), call);
  }
  fn.dispose();
  tf.dispose([one, total]);
});

Deno.test("CapturedFunction traces once per shape and keeps constants of the trace", async () => {
  const fn = captured([], (x) => [tf.add(x, tf.tensor1d([0.5]))]);
  const shapes = [1, 2, 1, 2].map((length) => tf.ones([length]));
  for (const x of shapes) assert.deepEqual(await valuesOf(fn, x), Array(x.size).fill(1.5));
  assert.equal(fn.traceCount, 2);
  fn.dispose();
  tf.dispose(shapes);
});

Deno.test("CapturedFunction keeps variables apart that share one native tensor", async () => {
  const zero = tf.zeros([2]);
  const a = tf.variable(zero, false);
  const b = tf.variable(zero, false);
  const fn = captured([a, b], (x) => {
    a.assign(tf.add(a, x));
    return [tf.add(a, b)];
  });
  const x = tf.ones([2]);
  assert.deepEqual(await valuesOf(fn, x), [1, 1]);
  assert.deepEqual(await valuesOf(fn, x), [2, 2]);
  assert.deepEqual(b.arraySync(), [0, 0]);
  fn.dispose();
  tf.dispose([zero, a, b, x]);
});

Deno.test("CapturedFunction refuses to read a value back while tracing", async () => {
  const fn = captured([], (x) => [tf.mul(x, tf.sum(x).arraySync() as number)]);
  const x = tf.ones([3]);
  await assert.rejects(valuesOf(fn, x), (error: Error) => {
    assert.ok(error instanceof EngineError);
    assert.match(error.message, /would freeze them into the trace/);
    return true;
  });
  x.dispose();
});

Deno.test("CapturedFunction refuses a variable that is not listed", async () => {
  const hidden = tf.variable(tf.scalar(2), false, "not_listed");
  const fn = captured([], (x) => [tf.mul(x, hidden)]);
  const x = tf.ones([3]);
  await assert.rejects(valuesOf(fn, x), /reads the variable not_listed/);
  tf.dispose([x, hidden]);
});

Deno.test("CapturedFunction's failing op is an EngineError, and the next call works", async () => {
  const fn = captured([], (x, y) => [tf.floorDiv(x, y)]);
  const x = tf.tensor1d([7], "int32");
  const good = tf.tensor1d([2], "int32");
  const bad = tf.tensor1d([0], "int32");
  assert.deepEqual(await valuesOf(fn, x, good), [3]);
  await assert.rejects(valuesOf(fn, x, bad), (error: Error) => {
    assert.ok(error instanceof EngineError);
    assert.match(error.message, /[Dd]ivision by zero/);
    return true;
  });
  assert.deepEqual(await valuesOf(fn, x, good), [3]);
  fn.dispose();
  tf.dispose([x, good, bad]);
});

Deno.test("dropout() draws the same masks captured, eager and split over ranks", async () => {
  const draw = (capture: boolean) => captured([], (x) => [dropout(x, 0.5, 3)], capture);
  const eager = draw(false);
  const traced = draw(true);
  const all = tf.ones([6, 50]);
  const half = tf.ones([3, 50]);
  const seen = new Set<string>();
  for (let step = 0; step < 3; step++) {
    setStepSeed([1, step], 6, 0);
    const whole = await valuesOf(eager, all);
    assert.deepEqual(await valuesOf(traced, all), whole);
    const first = await valuesOf(traced, half);
    setStepSeed([1, step], 6, 3);
    const second = await valuesOf(traced, half);
    assert.deepEqual([...first, ...second], whole);
    assert.ok(whole.every((value) => value === 0 || value === 2));
    const kept = whole.filter((value) => value === 2).length / whole.length;
    assert.ok(kept > 0.35 && kept < 0.65, `kept ${kept}`);
    seen.add(whole.join());
  }
  assert.equal(seen.size, 3, "each step draws anew");
  eager.dispose();
  traced.dispose();
  tf.dispose([all, half]);
});

Deno.test("dropout() for whole samples keeps or drops a row as one", async () => {
  const fn = captured([], (x) => [dropout(x, 0.5, 1, true)]);
  const x = tf.ones([64, 2, 2, 1]);
  setStepSeed([3, 4], 64, 0);
  const values = await valuesOf(fn, x);
  const rows = Array.from({ length: 64 }, (_, row) => values.slice(row * 4, row * 4 + 4));
  assert.ok(rows.every((row) => new Set(row).size === 1));
  const dropped = rows.filter(([value]) => value === 0).length;
  assert.ok(dropped > 16 && dropped < 48, `dropped ${dropped}`);
  fn.dispose();
  x.dispose();
});

Deno.test("dispose() releases the native function and its tensors", async () => {
  const constant = tf.tensor1d([1, 2, 3]); // from outside: a captured input of the trace
  const x = tf.ones([3]);
  const counts: number[] = [];
  for (let round = 0; round < 3; round++) {
    const fn = captured([], (x) => [tf.add(x, constant)]);
    assert.deepEqual(await valuesOf(fn, x), [2, 3, 4]);
    assert.deepEqual(await valuesOf(fn, x), [2, 3, 4]);
    fn.dispose();
    counts.push(runtime.tensorCount);
  }
  assert.deepEqual(counts, Array(3).fill(counts[0]));
  tf.dispose([x, constant]);
});

import assert from "node:assert/strict";
import { CapturedFunction, type CapturedResult } from "../../src/engine/capture/capture.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";

const { runtime } = await openEngine();

/** Two results in the order in which they are computed, from inputs, a constant and a variable that moves on. */
function chain(total: tf.Variable): CapturedFunction {
  return new CapturedFunction("chain", (x) => {
    const doubled = tf.mul(x, tf.scalar(2));
    total.assign(tf.add(total, tf.sum(doubled)));
    const first = tf.add(doubled, total);
    return [tf.mul(first, doubled), first].reverse();
  }, { variables: () => [total], capture: true });
}

const afterEach = (results: readonly CapturedResult[]) => results.map(({ position }) => position);

async function inParts(fn: CapturedFunction, x: tf.Tensor, cuts = afterEach): Promise<number[][]> {
  const calls: number[][] = [];
  await fn.callInParts([x], {
    cuts,
    onResults: (results) => {
      for (const [index, tensor] of results) {
        calls.push([index, ...tensor.dataSync()]);
        tensor.dispose();
      }
    },
  });
  return calls;
}

Deno.test("callInParts() gives what call() gives, part by part, and leaves nothing behind", async () => {
  const total = tf.variable(tf.scalar(0), false);
  const x = tf.tensor1d([1, 2]);
  const fn = chain(total);
  tf.dispose(await fn.call([x])); // values of JavaScript's own become native when they are first used
  const before = runtime.tensorCount;
  tf.tidy(() => total.assign(tf.scalar(0)));
  const whole = await fn.call([x]);
  assert.deepEqual(whole.map((tensor) => Array.from(tensor.dataSync())), [[8, 10], [16, 40]]);
  tf.dispose(whole);
  tf.tidy(() => total.assign(tf.scalar(0)));
  for (let call = 1; call <= 3; call++) {
    const sum = 6 * call;
    assert.deepEqual(await inParts(fn, x), [
      [0, 2 + sum, 4 + sum],
      [1, 2 * (2 + sum), 4 * (4 + sum)],
    ]);
    assert.equal(total.arraySync(), sum);
  }
  assert.equal(fn.traceCount, 2, "whole, and in parts");
  fn.dispose();
  assert.equal(runtime.tensorCount, before);
  tf.dispose([x, total]);
});

Deno.test("callInParts() gives a part's results while the next part runs", async () => {
  const order: string[] = [];
  const fn = new CapturedFunction("slow", (x) => {
    const early = tf.add(x, 1);
    let late: tf.Tensor = early;
    for (let round = 0; round < 40; round++) {
      late = tf.mul(tf.matMul(late as tf.Tensor2D, x as tf.Tensor2D), 1e-3);
    }
    return [early, late];
  }, { variables: () => [], capture: true });
  const x = tf.ones([700, 700]);
  const execute = runtime.executeAsync;
  runtime.executeAsync = async function (name, ...rest) {
    order.push("begin");
    const outputs = await execute.call(this, name, ...rest);
    order.push("end");
    return outputs;
  };
  try {
    await fn.callInParts([x], {
      cuts: ([first]) => [first.position],
      onResults: (results) => {
        order.push(`results ${[...results.keys()]}`);
        tf.dispose([...results.values()]);
      },
    });
  } finally {
    runtime.executeAsync = execute;
  }
  assert.deepEqual(order, ["begin", "end", "begin", "results 0", "end", "results 1"]);
  fn.dispose();
  x.dispose();
});

Deno.test("callInParts() lets the first part give all new values of variables", async () => {
  const total = tf.variable(tf.scalar(0), false);
  const fn = new CapturedFunction("late_value", (x) => {
    const first = tf.add(x, 1);
    total.assign(tf.sum(tf.mul(first, 3)) as tf.Scalar);
    return [first, tf.mul(total, 2)];
  }, { variables: () => [total], capture: true });
  const x = tf.scalar(1);
  const seen: number[][] = [];
  await fn.callInParts([x], {
    cuts: afterEach,
    onResults: (results) => {
      seen.push([...results.keys(), total.arraySync() as unknown as number]);
      tf.dispose([...results.values()]);
    },
  });
  // The cut after the first result comes before the value, and is left out.
  assert.deepEqual(seen, [[0, 1, 6]]);
  fn.dispose();
  tf.dispose([x, total]);
});

Deno.test("callInParts() fails as call() does when a part or its taker fails, and works again after", async () => {
  const fn = new CapturedFunction("division", (x, y) => {
    const first = tf.add(x, y);
    return [first, tf.floorDiv(first, y)];
  }, { variables: () => [], capture: true });
  const [x, zero, one] = [8, 0, 1].map((value) => tf.tensor1d([value], "int32"));
  const call = (y: tf.Tensor, onResults = (_: ReadonlyMap<number, tf.Tensor>) => {}) =>
    fn.callInParts([x, y], {
      cuts: afterEach,
      onResults: (results) => {
        onResults(results);
        tf.dispose([...results.values()]);
      },
    });
  await assert.rejects(call(zero), /[Dd]ivision by zero/);
  await call(one);
  const before = runtime.tensorCount;
  const counts: number[] = [];
  for (let round = 0; round < 2; round++) {
    await assert.rejects(call(zero), /[Dd]ivision by zero/);
    await assert.rejects(
      call(one, (results) => {
        tf.dispose([...results.values()]);
        throw new RangeError("not taken");
      }),
      /not taken/,
    );
    await call(one);
    counts.push(runtime.tensorCount);
  }
  assert.deepEqual(counts, [before, before]);
  fn.dispose();
  tf.dispose([x, zero, one]);
});

import { deepEqual, equal, throws } from "node:assert/strict";
import { openEngine } from "../../../src/engine/engine.ts";
import { recordOps } from "../../../src/engine/capture/recording.ts";
import { tf } from "../../../src/engine/tf.ts";

const { runtime } = await openEngine();

Deno.test("recordOps() records ops, shapes, variables and constants, and computes nothing", () => {
  const weight = tf.variable(tf.ones([3, 2]));
  const outside = tf.tensor1d([7, 8]);
  const record = () =>
    recordOps(
      (x) => [tf.add(tf.matMul(x as tf.Tensor2D, weight as tf.Tensor2D), outside), tf.square(x)],
      [[5, 3]],
      [weight],
    );
  record();
  const before = runtime.tensorCount; // with the variable's and the constant's own
  const recording = record();
  equal(runtime.tensorCount, before);
  const { ops, results, computed, constants, variables, inputs } = recording;
  deepEqual(
    ops.map(({ op }) => op).filter((op) => op !== "Reshape"),
    ["BatchMatMulV2", "Add", "Square"],
  );
  deepEqual(results.map((id) => computed.get(id)!.shape), [[5, 2], [5, 3]]);
  deepEqual(ops.at(-1)!.inputs, inputs);
  deepEqual([...variables.values()], [0]);
  const floats = [...constants.values()].filter(({ dtype }) => dtype === 1);
  deepEqual(floats.map(({ shape }) => shape), [[2]]);
  deepEqual([...new Float32Array(floats[0].bytes.buffer)], [7, 8]);
  tf.dispose([weight, outside]);
});

Deno.test("recordOps() refuses to read what isn't computed, and leaves the engine usable", () => {
  throws(
    () => recordOps((x) => [tf.mul(x, tf.sum(x).dataSync()[0])], [[2]], []),
    /reads a tensor's values in JavaScript/,
  );
  deepEqual([...tf.tidy(() => tf.add([1, 2], 1).dataSync())], [2, 3]);
});

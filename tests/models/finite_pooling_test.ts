import assert from "node:assert/strict";
import { openEngine } from "../../mod.ts";
import { tf } from "../../src/engine/tf.ts";
import { withPlainPooling } from "../../src/models/finite_pooling.ts";
import { CeilMaxPool } from "../../src/models/pooling.ts";

/** Two samples [4, 4, 2] of rising values, and another value in the first one. */
function samplesWith(odd: number): tf.Tensor4D {
  const values = Float32Array.from({ length: 64 }, (_, at) => at === 3 ? odd : at);
  return tf.tensor4d(values, [2, 4, 4, 2]);
}

Deno.test("max poolings give NaN to the sample that isn't finite, and to no other", async () => {
  await openEngine({});
  const layers = [
    () => tf.layers.maxPooling2d({ poolSize: 2, inputShape: [4, 4, 2] }),
    () => new CeilMaxPool({ name: "pool", size: 2, stride: 2 }),
  ];
  for (const make of layers) {
    const input = tf.input({ shape: [4, 4, 2] });
    const model = tf.model({
      inputs: input,
      outputs: make().apply(input) as tf.SymbolicTensor,
    });
    const valuesOf = (x: tf.Tensor, options?: { training: boolean }) =>
      Array.from((model.apply(x, options) as tf.Tensor).dataSync());
    const whole = valuesOf(samplesWith(3));
    assert.ok(whole.every(Number.isFinite));
    for (const odd of [NaN, Infinity, -Infinity]) {
      const values = valuesOf(samplesWith(odd));
      assert.deepEqual(values.slice(0, 8), new Array(8).fill(NaN), String(odd));
      assert.deepEqual(values.slice(8), whole.slice(8));
    }
    assert.ok(valuesOf(samplesWith(NaN), { training: true }).every(Number.isFinite));
    assert.ok(withPlainPooling(() => valuesOf(samplesWith(NaN))).every(Number.isFinite));
  }
});

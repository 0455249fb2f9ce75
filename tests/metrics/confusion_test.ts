import assert from "node:assert/strict";
import fc from "fast-check";
import { confusionMatrix, overallAccuracy, perClassAccuracy } from "../../src/metrics/confusion.ts";

Deno.test("confusionMatrix() has true classes in rows and predicted ones in columns", () => {
  const matrix = confusionMatrix([0, 0, 1, 2, 2, 2], new Int32Array([0, 1, 1, 0, 2, 2]), 3);
  assert.deepEqual(matrix, [[1, 1, 0], [0, 1, 0], [1, 0, 2]]);
});

Deno.test("confusionMatrix() refuses what is no class, and unequal lengths", () => {
  assert.throws(() => confusionMatrix([0, 2], [0, 1], 2), /Label 2 at 1 is no class: .* 0 to 1/);
  assert.throws(() => confusionMatrix([0, 1], [0, -1], 2), /Prediction -1 at 1 is no class/);
  assert.throws(() => confusionMatrix([0], [NaN], 2), RangeError);
  assert.throws(() => confusionMatrix([0, 1], [0], 2), /2 labels but 1 predictions/);
});

Deno.test("perClassAccuracy() is the diagonal over the row, NaN for a class without samples", () => {
  assert.deepEqual(perClassAccuracy([[3, 1, 0], [2, 2, 0], [0, 0, 0]], ["a", "b", "c"]), [
    { class: "a", accuracy: 0.75, count: 4 },
    { class: "b", accuracy: 0.5, count: 4 },
    { class: "c", accuracy: NaN, count: 0 },
  ]);
  assert.throws(() => perClassAccuracy([[1]], []), RangeError);
});

Deno.test("overallAccuracy() and the matrix agree with a plain count", () => {
  const pair = fc.tuple(fc.nat(4), fc.nat(4));
  fc.assert(fc.property(fc.array(pair, { minLength: 1 }), (pairs) => {
    const matrix = confusionMatrix(pairs.map(([label]) => label), pairs.map(([, p]) => p), 5);
    const right = pairs.filter(([label, prediction]) => label === prediction).length;
    assert.equal(overallAccuracy(matrix), right / pairs.length);
    assert.equal(matrix.flat().reduce((sum, value) => sum + value), pairs.length);
  }));
  assert.ok(Number.isNaN(overallAccuracy([[0]])));
});

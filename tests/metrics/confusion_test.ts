import assert from "node:assert/strict";
import fc from "fast-check";
import {
  confusionOf,
  confusionRecord,
  countConfusions,
  denseConfusion,
  fromDense,
  overallAccuracy,
  perClassAccuracy,
  worstConfusions,
} from "../../src/metrics/confusion.ts";

Deno.test("countConfusions() has true classes in rows and predicted ones in columns", () => {
  const matrix = countConfusions([0, 0, 1, 2, 2, 2], new Int32Array([0, 1, 1, 0, 2, 2]), 3);
  assert.deepEqual(denseConfusion(matrix), [[1, 1, 0], [0, 1, 0], [1, 0, 2]]);
});

Deno.test("countConfusions() refuses what is no class, and unequal lengths", () => {
  assert.throws(() => countConfusions([0, 2], [0, 1], 2), /Label 2 at 1 is no class: .* 0 to 1/);
  assert.throws(() => countConfusions([0, 1], [0, -1], 2), /Prediction -1 at 1 is no class/);
  assert.throws(() => countConfusions([0], [NaN], 2), RangeError);
  assert.throws(() => countConfusions([0, 1], [0], 2), /2 labels but 1 predictions/);
});

Deno.test("perClassAccuracy() is the diagonal over the row, NaN for a class without samples", () => {
  assert.deepEqual(
    perClassAccuracy(fromDense([[3, 1, 0], [2, 2, 0], [0, 0, 0]]), ["a", "b", "c"]),
    [
      { class: "a", accuracy: 0.75, count: 4 },
      { class: "b", accuracy: 0.5, count: 4 },
      { class: "c", accuracy: NaN, count: 0 },
    ],
  );
  assert.throws(() => perClassAccuracy(fromDense([[1]]), []), RangeError);
});

Deno.test("overallAccuracy() and the matrix agree with a plain count", () => {
  const pair = fc.tuple(fc.nat(4), fc.nat(4));
  fc.assert(fc.property(fc.array(pair, { minLength: 1 }), (pairs) => {
    const matrix = countConfusions(pairs.map(([label]) => label), pairs.map(([, p]) => p), 5);
    const right = pairs.filter(([label, prediction]) => label === prediction).length;
    assert.equal(overallAccuracy(matrix), right / pairs.length);
    assert.equal(denseConfusion(matrix).flat().reduce((sum, value) => sum + value), pairs.length);
  }));
  assert.ok(Number.isNaN(overallAccuracy(fromDense([[0]]))));
});

Deno.test("the counts of 21,000 classes keep only the cells with samples, and come back from their record", () => {
  const classes = 21_000;
  const labels = Array.from({ length: 2 * classes }, (_, index) => index % classes);
  const guesses = labels.map((label) => label % 7 === 0 ? (label + 3) % classes : label);
  const counts = countConfusions(labels, guesses, classes);
  assert.equal(counts.counts.length, classes, "one cell per class, not 441 million");
  const record = confusionRecord(counts);
  assert.equal(record.confusionMatrix, undefined);
  assert.deepEqual(record.confusions!.slice(0, 2), [[0, 3, 2], [1, 1, 2]]);
  assert.deepEqual(confusionOf(record, classes), counts);
  assert.equal(confusionOf({ confusions: [[0, 2, 1]] }, 2), undefined, "of other classes");
  const { pairs, total } = worstConfusions(counts, 2);
  assert.equal(total, 3000);
  assert.deepEqual(pairs[0], { label: 0, predicted: 3, count: 2, share: 1 });
  const small = [[2, 0, 1], [0, 0, 0], [5, 1, 0]];
  assert.deepEqual(denseConfusion(fromDense(small)), small);
  assert.deepEqual(confusionRecord(fromDense(small)), { confusionMatrix: small });
  assert.deepEqual(
    worstConfusions(fromDense(small), 5).pairs.map(({ label, predicted }) => [label, predicted]),
    [[2, 0], [0, 2], [2, 1]],
  );
});

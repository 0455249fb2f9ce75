import assert from "node:assert/strict";
import { clipFactor, clipValues, scaleValues, sumOfSquares } from "../../src/optim/clip.ts";

Deno.test("clipValues() brings values into the limit, in place", () => {
  const values = Float32Array.of(-3, -1, 0, 0.5, 2, Infinity);
  clipValues(values, 1);
  assert.deepEqual([...values], [-1, -1, 0, 0.5, 1, 1]);
});

Deno.test("sumOfSquares() adds in double precision", () => {
  assert.equal(sumOfSquares(Float32Array.of(3, -4)), 25);
  assert.equal(sumOfSquares(new Float32Array()), 0);
  assert.equal(sumOfSquares(Float32Array.of(4096, 0.5)), 4096 ** 2 + 0.25); // more digits than a float32 has
});

Deno.test("clipFactor() is PyTorch's: limit / (norm + 1e-6), at most 1", () => {
  assert.equal(clipFactor(25, 10), 1);
  assert.equal(clipFactor(25, 1), 1 / (5 + 1e-6));
  assert.equal(clipFactor(0, 1), 1);
});

Deno.test("scaleValues() multiplies in place", () => {
  const values = Float32Array.of(2, -4);
  scaleValues(values, 0.5);
  assert.deepEqual([...values], [1, -2]);
});

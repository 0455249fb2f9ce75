import assert from "node:assert/strict";
import { clipFactor, sumOfSquares } from "../../src/optim/clip.ts";

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

Deno.test("sumOfSquares() takes values at most as large as the limit, and leaves them", () => {
  const values = Float32Array.of(-3, -1, 0, 0.5, 2, Infinity);
  assert.equal(sumOfSquares(values, 1), 1 + 1 + 0 + 0.25 + 1 + 1);
  assert.equal(values[0], -3);
});

import assert from "node:assert/strict";
import { mean, median, middleHalf, quantile } from "../../src/base/statistics.ts";

Deno.test("mean(), median() and quantile() are NaN of nothing", () => {
  assert.deepEqual([mean([]), median([]), quantile([], 0.5)], [NaN, NaN, NaN]);
});

Deno.test("mean() and median() leave the order of what they are given alone", () => {
  const values = [4, 1, 10, 3];
  assert.equal(mean(values), 4.5);
  assert.equal(median(values), 3.5);
  assert.equal(median([10, 1, 3]), 3);
  assert.deepEqual(values, [4, 1, 10, 3]);
});

Deno.test("quantile() counts finite values alone", () => {
  const values = [5, NaN, 1, 4, Infinity, 2, 3];
  assert.deepEqual([0, 0.5, 0.95, 1].map((share) => quantile(values, share)), [1, 3, 5, 5]);
});

Deno.test("middleHalf() drops the lowest and the highest quarter", () => {
  const items = [8, 1, 7, 2, 6, 3, 5, 4].map((size) => ({ size }));
  assert.deepEqual(middleHalf(items, ({ size }) => size).map(({ size }) => size), [3, 4, 5, 6]);
});

import assert from "node:assert/strict";
import { chartValue, inWindows } from "../../src/web/chart_values.ts";

Deno.test("chartValue() has six digits, and null for what JSON can't hold", () => {
  assert.deepEqual([0.123456789, 1234567.8, 0, NaN, Infinity].map(chartValue), [
    0.123457,
    1234570,
    0,
    null,
    null,
  ]);
});

Deno.test("inWindows() makes even runs of neighbours, at most as many as asked for", () => {
  assert.deepEqual(inWindows([1, 2, 3], 3), [[1], [2], [3]]);
  assert.deepEqual(inWindows([1, 2, 3, 4, 5], 3), [[1, 2], [3, 4], [5]]);
  assert.deepEqual(inWindows([], 3), []);
  assert.ok(inWindows(Array.from({ length: 1001 }), 500).length <= 500);
});

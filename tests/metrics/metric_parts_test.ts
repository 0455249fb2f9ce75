import assert from "node:assert/strict";
import { addParts, meanOf, type MetricTotal } from "../../src/metrics/metric_parts.ts";

Deno.test("addParts() adds values and sums, metric by metric", () => {
  const totals: MetricTotal[] = [];
  addParts(totals, [{ values: [1, 2], sum: 0, count: 0 }, { values: [], sum: 3, count: 4 }]);
  addParts(totals, [{ values: [5], sum: 0, count: 0 }, { values: [], sum: 1, count: 2 }]);
  assert.deepEqual(totals, [{ values: [1, 2, 5], sum: 0, count: 0 }, {
    values: [],
    sum: 4,
    count: 6,
  }]);
});

Deno.test("meanOf() has the same bits whoever has scored the samples", () => {
  const values = [0.1, 0.2, 0.3, 1e10, -1e10];
  const whole = meanOf([{ values, sum: 0, count: 0 }], [[0, 1, 2, 3, 4]]);
  const [even, odd] = [[0, 2, 4], [1, 3]];
  const parts = [even, odd].map((own) => ({
    values: own.map((index) => values[index]!),
    sum: 0,
    count: 0,
  }));
  assert.equal(meanOf(parts, [even, odd]), whole);
  assert.equal(meanOf([{ values: [], sum: 6, count: 4 }], [[]]), 1.5);
  assert.ok(Number.isNaN(meanOf([], [])));
});

import assert from "node:assert/strict";
import { between, betweenLog, roundHalfEven } from "../../../src/data/transforms/draw.ts";

Deno.test("between() and betweenLog() map a random number to a range", () => {
  assert.equal(between([2, 6], () => 0.25), 3);
  assert.equal(between([2, 6], () => 0), 2);
  assert.ok(Math.abs(betweenLog([0.25, 4], () => 0.5) - 1) < 1e-12);
  assert.ok(Math.abs(betweenLog([1, 100], () => 0.5) - 10) < 1e-9);
});

Deno.test("roundHalfEven() rounds as Python does", () => {
  const cases: [number, number][] = [[0.5, 0], [1.5, 2], [2.5, 2], [2.4, 2], [2.6, 3], [-0.5, -0], [
    -1.5,
    -2,
  ]];
  for (const [value, rounded] of cases) {
    assert.equal(roundHalfEven(value) + 0, rounded + 0, String(value));
  }
});

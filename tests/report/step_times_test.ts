import assert from "node:assert/strict";
import {
  BREAKDOWN,
  meanStep,
  rankTimes,
  stepNumbers,
  usualPoints,
} from "../../src/report/step_times.ts";
import { madePoint } from "../support/made_run.ts";

Deno.test("usualPoints() leaves out the first point, in which the step is traced, where there are enough", () => {
  const points = [2, 4, 6, 8].map((step) => madePoint(1, step));
  assert.equal(usualPoints(points.slice(0, 3)).length, 3);
  assert.deepEqual(usualPoints(points).map(({ step }) => step), [4, 6, 8]);
});

Deno.test("stepNumbers() puts points on the axis of all steps", () => {
  assert.deepEqual(stepNumbers([madePoint(1, 2), madePoint(1, 4), madePoint(2, 2)]), [2, 4, 6]);
});

Deno.test("meanStep() and rankTimes() have every part, and their mean", () => {
  const point = madePoint(1, 2);
  const step = meanStep([point, point]);
  for (const { part } of BREAKDOWN) assert.equal(step[part], point.ms[part], part);
  assert.equal(step.total, point.ms.total);
  const ranks = rankTimes([point, point]);
  assert.deepEqual(ranks.map(({ rank }) => rank), point.ranks.map(({ rank }) => rank));
  assert.deepEqual(ranks[0]!.ms, point.ranks[0]!.ms);
  assert.equal(ranks[0]!.samples, 2 * point.ranks[0]!.samples);
});

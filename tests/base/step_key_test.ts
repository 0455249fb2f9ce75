import assert from "node:assert/strict";
import { compareSteps, lastStep, pointOf, recorded, stepsBefore } from "../../src/base/step_key.ts";

Deno.test("a point counts the steps that are done, a step's index is from 0, and records call the count step", () => {
  const point = { epoch: 3, stepsDone: 2 };
  assert.deepEqual(recorded(point), { epoch: 3, step: 2 });
  assert.deepEqual(pointOf({ epoch: 3, step: 2 }), point);
  assert.deepEqual(lastStep(point), { epoch: 3, step: 1 });
  assert.equal(stepsBefore(point, 5), 12);
  assert.equal(stepsBefore({ epoch: 1, stepsDone: 0 }, 5), 0);
  assert.equal(
    stepsBefore({ epoch: 2, stepsDone: 5 }, 5),
    stepsBefore({ epoch: 3, stepsDone: 0 }, 5),
  );
  assert.ok(compareSteps(lastStep(point), { epoch: 3, step: 2 }) < 0);
});

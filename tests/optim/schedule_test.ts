import assert from "node:assert/strict";
import { learningRateAt } from "../../src/optim/schedule.ts";

Deno.test("learningRateAt() decays StepLR every stepSize epochs, counted from epoch 1", () => {
  const schedule = { name: "StepLR", stepSize: 7, gamma: 0.1 } as const;
  const rates = [1, 7, 8, 14, 15].map((epoch) => learningRateAt(schedule, 1e-3, epoch));
  const expected = [1e-3, 1e-3, 1e-4, 1e-4, 1e-5];
  rates.forEach((rate, index) => assert.ok(Math.abs(rate - expected[index]) < 1e-15));
});

Deno.test("learningRateAt() keeps a constant rate", () => {
  assert.equal(learningRateAt({ name: "constant" }, 0.3, 100), 0.3);
});

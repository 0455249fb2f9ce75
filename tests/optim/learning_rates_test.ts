import assert from "node:assert/strict";
import { LearningRates } from "../../src/optim/learning_rates.ts";

Deno.test("LearningRates gives each step its rate, from the run's or a group's", () => {
  const schedule = { name: "StepLR", stepSize: 1, gamma: 0.5, per: "epoch" } as const;
  const rates = new LearningRates({ schedule, lr: 0.8, epochs: 3 }, 10);
  assert.equal(rates.at({ epoch: 1, step: 9 }), 0.8);
  assert.equal(rates.at({ epoch: 2, step: 0 }), 0.4);
  assert.equal(rates.at({ epoch: 3, step: 5 }, 4), 1);
});

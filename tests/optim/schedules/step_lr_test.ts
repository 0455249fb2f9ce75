import assert from "node:assert/strict";
import { StepLR } from "../../../src/optim/schedules/step_lr.ts";

Deno.test("StepLR gives PyTorch's rates", () => {
  const cases: [number, number][] = [[0, 0.1], [6, 0.1], [7, 0.01], [14, 0.001]];
  for (const [time, expected] of cases) {
    const rate = StepLR.rateAt({ stepSize: 7, gamma: 0.1 }, 0.1, { time, whole: 10 });
    assert.ok(Math.abs(rate - expected) < 1e-12, `${time}: ${rate}`);
  }
  assert.match(StepLR.cure, /./);
});

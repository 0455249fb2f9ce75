import assert from "node:assert/strict";
import { ExponentialLR } from "../../../src/optim/schedules/exponential_lr.ts";

Deno.test("ExponentialLR gives PyTorch's rates", () => {
  const cases: [number, number][] = [[0, 0.1], [1, 0.05], [3, 0.0125]];
  for (const [time, expected] of cases) {
    const rate = ExponentialLR.rateAt({ gamma: 0.5 }, 0.1, { time, whole: 10 });
    assert.ok(Math.abs(rate - expected) < 1e-12, `${time}: ${rate}`);
  }
  assert.match(ExponentialLR.cure, /./);
});

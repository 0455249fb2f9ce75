import assert from "node:assert/strict";
import { constant } from "../../../src/optim/schedules/constant.ts";

Deno.test("constant gives PyTorch's rates", () => {
  const cases: [number, number][] = [[0, 0.1], [99, 0.1]];
  for (const [time, expected] of cases) {
    const rate = constant.rateAt({}, 0.1, { time, whole: 10 });
    assert.ok(Math.abs(rate - expected) < 1e-12, `${time}: ${rate}`);
  }
  assert.match(constant.cure, /./);
});

import assert from "node:assert/strict";
import { CosineAnnealingLR } from "../../../src/optim/schedules/cosine_annealing_lr.ts";

Deno.test("CosineAnnealingLR gives PyTorch's rates", () => {
  const cases: [number, number][] = [[0, 0.1], [2, 0.06], [4, 0.02], [8, 0.1]];
  for (const [time, expected] of cases) {
    const rate = CosineAnnealingLR.rateAt({ tMax: 4, etaMin: 0.02 }, 0.1, { time, whole: 10 });
    assert.ok(Math.abs(rate - expected) < 1e-12, `${time}: ${rate}`);
  }
  assert.match(CosineAnnealingLR.cure, /./);
});

Deno.test("CosineAnnealingLR without tMax ends with the run", () => {
  const rate = CosineAnnealingLR.rateAt({ etaMin: 0 }, 1, { time: 10, whole: 10 });
  assert.ok(Math.abs(rate) < 1e-12);
});

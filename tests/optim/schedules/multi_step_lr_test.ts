import assert from "node:assert/strict";
import { MultiStepLR } from "../../../src/optim/schedules/multi_step_lr.ts";

Deno.test("MultiStepLR gives PyTorch's rates", () => {
  const cases: [number, number][] = [[1, 0.1], [2, 0.01], [4, 0.01], [5, 0.001]];
  for (const [time, expected] of cases) {
    const rate = MultiStepLR.rateAt({ milestones: [2, 5], gamma: 0.1 }, 0.1, { time, whole: 10 });
    assert.ok(Math.abs(rate - expected) < 1e-12, `${time}: ${rate}`);
  }
  assert.match(MultiStepLR.cure, /./);
});

Deno.test("MultiStepLR names a milestone past the end of the run", () => {
  const problem = (milestones: number[], warmup = 0) =>
    MultiStepLR.problem!({ milestones, gamma: 0.1 }, { whole: 10, warmup, unit: "epochs" });
  assert.equal(problem([3, 9]), undefined);
  assert.match(
    problem([3, 10])!,
    /^milestones: 10 would decay the rate past the end of the run, which has 10 epochs/,
  );
  assert.match(problem([9], 1)!, /^milestones: 9 \(after 1 of warm-up\)/);
});

import assert from "node:assert/strict";
import { MIN_LOSS_SCALE } from "../../src/optim/loss_scaler.ts";
import { initialLossScale, StepJudge } from "../../src/train/step_judge.ts";

const GOOD = { finite: true, lossSum: 1, weight: 4 };
const OVERFLOW = { finite: false, lossSum: 1, weight: 4 };

Deno.test("StepJudge applies what is finite, and fails what isn't", () => {
  const judge = new StepJudge(undefined);
  assert.deepEqual([GOOD, OVERFLOW].map((step) => judge.judge(step)), ["apply", "fail"]);
  assert.deepEqual([judge.scale, judge.lossScale], [1, undefined]);
});

Deno.test("StepJudge with a loss scale skips overflows of gradients alone, and lowers the scale", () => {
  const judge = new StepJudge({ scale: 8, growthTracker: 1998, skippedSteps: 3 });
  assert.equal(judge.judge(GOOD), "apply");
  assert.equal(judge.judge({ ...GOOD, weight: 0 }), "apply", "there was nothing to overflow");
  assert.deepEqual(judge.lossScale, { scale: 8, growthTracker: 1999, skippedSteps: 3 });
  assert.equal(judge.judge(GOOD), "apply");
  assert.deepEqual(judge.lossScale, { scale: 16, growthTracker: 0, skippedSteps: 3 });
  assert.equal(judge.judge(OVERFLOW), "skip");
  assert.deepEqual(judge.lossScale, { scale: 8, growthTracker: 0, skippedSteps: 4 });
  for (const lossSum of [NaN, Infinity, -Infinity]) {
    assert.equal(judge.judge({ ...OVERFLOW, lossSum }), "fail", `a loss of ${lossSum}`);
  }
});

Deno.test("StepJudge fails where no scale is small enough", () => {
  const judge = new StepJudge(initialLossScale({ engine: { precision: "float16" } }));
  const verdicts = [];
  do verdicts.push(judge.judge(OVERFLOW)); while (verdicts.at(-1) === "skip");
  assert.equal(verdicts.at(-1), "fail");
  assert.equal(verdicts.length, 31, "from 2^16 to 2^-14");
  assert.equal(judge.scale, MIN_LOSS_SCALE);
});

Deno.test("initialLossScale() is GradScaler's for float16, and none for others", () => {
  const of = (precision: "float32" | "tf32" | "float16" | "bfloat16") =>
    initialLossScale({ engine: { precision } });
  assert.deepEqual(of("float16"), { scale: 65536, growthTracker: 0, skippedSteps: 0 });
  assert.deepEqual(["float32", "tf32", "bfloat16"].map((name) => of(name as "tf32")), [
    undefined,
    undefined,
    undefined,
  ]);
});

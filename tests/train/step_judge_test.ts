import assert from "node:assert/strict";
import { MIN_LOSS_SCALE } from "../../src/optim/loss_scaler.ts";
import { judgeStateOf, StepJudge } from "../../src/train/step_judge.ts";

const GOOD = { finite: true, lossSum: 1, weight: 4 };
const OVERFLOW = { finite: false, lossSum: 1, weight: 4 };

Deno.test("StepJudge applies what is finite, and fails what isn't", () => {
  const judge = new StepJudge();
  assert.deepEqual([GOOD, OVERFLOW].map((step) => judge.judge(step)), ["apply", "fail"]);
  assert.deepEqual([judge.scale, judge.lossScale], [1, undefined]);
});

Deno.test("StepJudge with a loss scale skips overflows of gradients alone, and lowers the scale", () => {
  const judge = new StepJudge({
    lossScale: { scale: 8, growthTracker: 1998, skippedSteps: 3 },
  });
  assert.equal(judge.judge(GOOD), "apply");
  assert.equal(judge.judge({ ...GOOD, weight: 0 }), "apply", "there was nothing to overflow");
  assert.deepEqual(judge.lossScale, { scale: 8, growthTracker: 1999, skippedSteps: 3 });
  assert.equal(judge.judge(GOOD), "apply");
  assert.deepEqual(judge.lossScale, { scale: 16, growthTracker: 0, skippedSteps: 3 });
  assert.equal(judge.judge(OVERFLOW), "rescale");
  assert.deepEqual(judge.lossScale, { scale: 8, growthTracker: 0, skippedSteps: 4 });
  for (const lossSum of [NaN, Infinity, -Infinity]) {
    assert.equal(judge.judge({ ...OVERFLOW, lossSum }), "fail", `a loss of ${lossSum}`);
  }
});

const FLOAT16 = {
  engine: { precision: "float16" },
  train: { onNonFinite: "fail", maxNonFiniteSteps: 10 },
} as const;

Deno.test("StepJudge fails where no scale is small enough", () => {
  const judge = new StepJudge(judgeStateOf(FLOAT16));
  const verdicts = [];
  do verdicts.push(judge.judge(OVERFLOW)); while (verdicts.at(-1) === "rescale");
  assert.equal(verdicts.at(-1), "fail");
  assert.equal(verdicts.length, 31, "from 2^16 to 2^-14");
  assert.equal(judge.scale, MIN_LOSS_SCALE);
});

Deno.test("StepJudge skips a limited number of steps in a row that are not finite, if it may", () => {
  const judge = new StepJudge({ nonFinite: { limit: 2, inARow: 1, ofEpoch: 4 } });
  const verdicts = [OVERFLOW, GOOD, OVERFLOW, { ...GOOD, weight: 0 }, { ...OVERFLOW, lossSum: NaN }]
    .map((step) => judge.judge(step));
  assert.deepEqual(verdicts, ["skip", "apply", "skip", "apply", "skip"]);
  assert.deepEqual(
    judge.nonFinite,
    { inARow: 2, ofEpoch: 7 },
    "a step without samples proves nothing",
  );
  const next = new StepJudge(judge.state);
  assert.deepEqual([next.judge(OVERFLOW), next.state], [
    "fail",
    { nonFinite: { limit: 2, inARow: 2, ofEpoch: 7 } },
  ]);
  assert.equal(judge.judge(OVERFLOW), "fail");
  assert.equal(new StepJudge().nonFinite, undefined);
});

Deno.test("StepJudge blames a loss scale before it counts a step as not finite", () => {
  const judge = new StepJudge({
    lossScale: { scale: 2 * MIN_LOSS_SCALE, growthTracker: 5, skippedSteps: 0 },
    nonFinite: { limit: 1, inARow: 0, ofEpoch: 0 },
  });
  assert.equal(judge.judge({ ...OVERFLOW, lossSum: NaN }), "skip", "the loss isn't scaled");
  assert.deepEqual(judge.lossScale, {
    scale: 2 * MIN_LOSS_SCALE,
    growthTracker: 5,
    skippedSteps: 0,
  });
  assert.equal(judge.judge(OVERFLOW), "rescale");
  assert.deepEqual(judge.nonFinite, { inARow: 1, ofEpoch: 1 }, "nothing was applied in between");
  assert.equal(judge.judge(OVERFLOW), "fail", "with the smallest scale, and one was skipped");
});

Deno.test("judgeStateOf() scales the loss for float16 alone, as GradScaler, and skips where it is configured", () => {
  const of = (precision: "float32" | "tf32" | "float16" | "bfloat16") =>
    judgeStateOf({ ...FLOAT16, engine: { precision } });
  assert.deepEqual(of("float16"), {
    lossScale: { scale: 65536, growthTracker: 0, skippedSteps: 0 },
  });
  assert.deepEqual(["float32", "tf32", "bfloat16"].map((name) => of(name as "tf32")), [{}, {}, {}]);
  const lossScale = { scale: 4, growthTracker: 1, skippedSteps: 2 };
  const nonFinite = { inARow: 1, ofEpoch: 3 };
  const skipping = { onNonFinite: "skip", maxNonFiniteSteps: 7 } as const;
  assert.deepEqual(
    judgeStateOf({ engine: FLOAT16.engine, train: skipping }, { lossScale, nonFinite }),
    { lossScale, nonFinite: { ...nonFinite, limit: 7 } },
  );
  assert.deepEqual(judgeStateOf(FLOAT16, { nonFinite }), of("float16"), "the config has changed");
  assert.deepEqual(
    judgeStateOf({ engine: { precision: "float32" }, train: skipping }, { lossScale }),
    { nonFinite: { inARow: 0, ofEpoch: 0, limit: 7 } },
  );
});

import assert from "node:assert/strict";
import {
  nonFiniteStepError,
  skippedStepWarning,
  type StepFacts,
} from "../../src/coordinator/epochs/non_finite_step.ts";
import { SkippedSteps } from "../../src/coordinator/epochs/skipped_steps.ts";
import type { RunEvent } from "../../src/events/run_events.ts";
import { EpochPlanner } from "../../src/data/loading/epoch_planner.ts";

/** A run of two workers over `samples` images in their own order. */
function facts(samples: number, globalBatch: number): StepFacts {
  return {
    config: { workers: 2, train: { lr: 0.5, classWeights: undefined } },
    dataset: { train: Array.from({ length: samples }, (_, index) => ({ path: `${index}.png` })) },
    plan: { training: new EpochPlanner({ length: samples, globalBatch }) },
  };
}

Deno.test("nonFiniteStepError() names the images of the rank that is to blame, in its step", () => {
  const { message } = nonFiniteStepError(facts(8, 4), { epoch: 3, step: 1 }, { worstRank: 1 });
  assert.equal(
    message,
    "Loss or gradients became NaN or infinite on rank 1 in epoch 3, step 1, no update was made: " +
      "lower train.lr (0.5) or look at the data; its images were 6.png, 7.png",
  );
  const many = nonFiniteStepError(facts(100, 100), { epoch: 1, step: 0 }, { worstRank: 0 });
  assert.match(many.message, /its images were 0\.png, .*19\.png/);
  assert.doesNotMatch(many.message, /20\.png/);
});

Deno.test("nonFiniteStepError() tells gradients that overflow float16 with the smallest scale", () => {
  const at = { epoch: 2, step: 3 };
  const overflow = { worstRank: 1, lossSum: 7, scale: 2 ** -14 };
  assert.equal(
    nonFiniteStepError(facts(8, 2), at, overflow).message,
    "The gradients of rank 1 overflow float16 in epoch 2, step 3, however small the loss scale " +
      "(0.00006103515625), no update was made: set engine.precision to float32 or bfloat16, or lower train.lr " +
      "(0.5) or look at the data",
  );
  for (const other of [{ ...overflow, scale: 1 }, { ...overflow, lossSum: NaN }]) {
    assert.match(
      nonFiniteStepError(facts(16, 4), at, other).message,
      /^Loss or gradients became NaN/,
    );
  }
});

Deno.test("nonFiniteStepError() tells a sum that overflowed, and values too large for 16 bits", () => {
  const at = { epoch: 1, step: 0 };
  assert.equal(
    nonFiniteStepError(facts(8, 4), at, {}).message,
    "The sum of the gradients became infinite in epoch 1, step 0, no update was made: " +
      "lower train.lr (0.5) or look at the data",
  );
  assert.equal(
    nonFiniteStepError(facts(8, 4), at, { worstRank: 1, tooLargeFor: "float16" }).message,
    "Gradients of rank 1 have values too large for float16 (at most 65504) in epoch 1, step 0, no update " +
      "was made: set nats.gradientDtype to bfloat16 or float32, or lower train.lr (0.5)",
  );
  assert.match(
    nonFiniteStepError(facts(8, 4), at, { tooLargeFor: "bfloat16" }).message,
    /^The sum of the gradients has values too large for bfloat16 .*: set nats\.gradientDtype to float32, or/,
  );
});

Deno.test("messages about skipped steps count them: the warning of one, and the error at the limit", () => {
  const at = { epoch: 2, step: 1 };
  const skipped = (inARow: number) => ({ worstRank: 0, skipped: { inARow, ofEpoch: 9 } });
  const what = "Loss or gradients became NaN or infinite on rank 0 in epoch 2, step 1";
  assert.equal(
    skippedStepWarning(facts(8, 4), at, skipped(1)),
    `${what}: the step is skipped; its images were 4.png, 5.png`,
  );
  assert.match(
    skippedStepWarning(facts(8, 4), at, skipped(2)),
    /: the step is skipped, the 2nd in a row; its images/,
  );
  const cure = "lower train.lr (0.5) or look at the data; its images were 4.png, 5.png";
  assert.equal(
    nonFiniteStepError(facts(8, 4), at, skipped(1)).message,
    `${what}, no update was made, and 1 step before it was skipped, as many as train.maxNonFiniteSteps allows in a ` +
      `row: ${cure}`,
  );
  assert.equal(
    nonFiniteStepError(facts(8, 4), at, skipped(0)).message,
    `${what}, no update was made: ${cure}`,
  );
});

Deno.test("SkippedSteps has an event for each step, and warnings for the first ones", () => {
  const events: RunEvent[] = [];
  const steps = new SkippedSteps(facts(8, 4), { emit: (event) => events.push(event) });
  const inARow = (count: number) => ({ skipped: { inARow: count, ofEpoch: count } });
  for (let count = 1; count <= 30; count++) {
    steps.report({ epoch: 1, step: 0 }, { ...inARow(count), worstRank: 1 });
  }
  steps.report({ epoch: 2, step: 1 }, inARow(31));
  const [named, warnings] = ["stepSkipped", "warning"].map((kind) =>
    events.filter(({ type }) => type === kind)
  );
  assert.deepEqual(named.slice(-2), [
    { type: "stepSkipped", epoch: 1, step: 0, rank: 1, inARow: 30 },
    { type: "stepSkipped", epoch: 2, step: 1, inARow: 31 },
  ]);
  assert.equal(named.length, 31);
  const messages = warnings.map((event) => "message" in event ? event.message : "");
  assert.deepEqual([messages.length, messages.at(-1)], [
    21,
    "More steps are skipped: events.jsonl names all of them",
  ]);
  assert.match(messages[0], /^Loss or gradients .*: the step is skipped; its images were /);
});

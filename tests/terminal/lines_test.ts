import assert from "node:assert/strict";
import fc from "fast-check";
import type { EpochRecord } from "../../src/records/history.ts";
import { barLine, epochLine, featuresLine, validationLine } from "../../src/terminal/lines.ts";

const RECORD: EpochRecord = {
  epoch: 1,
  learningRate: 0.01,
  train: { loss: 0.81234, accuracy: 0.7024 },
  validation: { loss: 0.40111, accuracy: 0.8767, count: 57 },
  seconds: 4.21,
  imagesPerSecond: 32.14,
};

Deno.test("epochLine() says everything where there is room", () => {
  assert.equal(
    epochLine(RECORD, 5, true),
    "epoch 1/5  train loss 0.8123 acc 0.702  val loss 0.4011 acc 0.877  32.1 img/s  4.2 s  best",
  );
});

Deno.test("epochLine() counts the steps that were skipped", () => {
  const end = (skippedSteps: number, best = false) =>
    epochLine({ ...RECORD, skippedSteps }, 5, best).split("4.2 s")[1];
  assert.deepEqual([end(0), end(1), end(12, true)], [
    "",
    "  1 step skipped",
    "  12 steps skipped  best",
  ]);
  assert.match(
    epochLine({ ...RECORD, skippedSteps: 2, nonFiniteSteps: 1 }, 5, true),
    /4\.2 s\s+1 non-finite step skipped\s+2 steps skipped\s+best$/,
  );
});

Deno.test("epochLine() on 80 columns keeps losses, accuracies, time and best", () => {
  assert.equal(
    epochLine(RECORD, 5, true, 79),
    "epoch 1/5  train loss 0.8123 acc 0.702  val loss 0.4011 acc 0.877  4.2 s  best",
  );
  assert.equal(
    epochLine({ ...RECORD, train: { loss: NaN, accuracy: NaN } }, 40, false, 50),
    "epoch  1/40  train NaN / NaN  val 0.4011 / 0.877",
  );
});

Deno.test("epochLine() and barLine() never exceed the width", () => {
  const size = fc.integer({ min: 0, max: 130 });
  fc.assert(fc.property(
    size,
    fc.double(),
    fc.double({ min: 0, max: 1 }),
    fc.integer({ min: 1, max: 10_000 }),
    fc.nat(20_000),
    fc.array(fc.string({ maxLength: 20 }), { maxLength: 4 }),
    (width, loss, accuracy, epochs, done, details) => {
      const record = { ...RECORD, epoch: epochs, train: { loss, accuracy } };
      assert.ok(epochLine(record, epochs, true, width).length <= width);
      const state = { label: "epoch 10/40 train", done, total: epochs, details };
      assert.ok(barLine(state, width).length <= width);
      assert.ok(barLine({ ...state, total: 0 }, width).length <= width);
    },
  ));
});

Deno.test("validationLine() tells where in the run, and leaves out what isn't known before it", () => {
  const place = { epoch: 2, step: 10, steps: 25, loss: 0.5, accuracy: 0.8126 };
  assert.equal(
    validationLine({ ...place, trainLoss: 0.71, secondsPerStep: 1.234 }),
    "epoch 2, step 10/25  train loss 0.7100  val loss 0.5000 acc 0.813  1.23 s per step",
  );
  assert.equal(
    validationLine({ ...place, epoch: 1, step: 0 }),
    "before training  val loss 0.5000 acc 0.813",
  );
});

Deno.test("featuresLine() tells how much is kept, and how much may be", () => {
  const kept = { train: 211, val: 60, bytes: 1_387_520 };
  assert.equal(
    featuresLine(kept, 1, 5e8),
    "1 worker keeps the features of 211 training and 60 validation images: 1.4 MB, of at most 500 MB",
  );
  assert.match(
    featuresLine(kept, 2, 5e8),
    /^2 workers keep the features of .* \(each of those that it saw\): .* 500 MB each$/,
  );
});

Deno.test("barLine() drops the last details first and fills by the share done", () => {
  const state = {
    label: "train",
    done: 50,
    total: 100,
    details: ["50/100", "12.0 img/s", "loss 1"],
  };
  assert.equal(
    barLine(state, 60),
    "train  ██████████░░░░░░░░░   50%  50/100  12.0 img/s  loss 1",
  );
  assert.equal(barLine(state, 30), "train  █████░░░░   50%  50/100");
  assert.equal(barLine({ ...state, done: 0, total: 0 }, 60), "train  50/100  12.0 img/s  loss 1");
});

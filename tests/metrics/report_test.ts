import assert from "node:assert/strict";
import { calibration } from "../../src/metrics/calibration.ts";
import { classificationReport } from "../../src/metrics/report.ts";
import { fromDense } from "../../src/metrics/confusion.ts";
import { macroMean, perClassScores, weightedMean } from "../../src/metrics/per_class.ts";
import { topKAccuracy } from "../../src/metrics/top_k.ts";
import { deterministicValues } from "../support/deterministic_fill.ts";

/** A case of `scripts/make_metrics_fixtures.py`. */
interface Case {
  name: string;
  samples: number;
  classes: number;
  sharpness: number;
  labels: number[];
  confusion: number[][];
  accuracy: number;
  top5?: number;
  precision: number[];
  recall: number[];
  f1: number[];
  support: number[];
  macro: number[];
  weighted: number[];
  ece: number;
  mce: number;
  binCounts: number[];
}

const URL_OF_CASES = new URL("../fixtures/metrics/reports.json", import.meta.url);
const CASES: Case[] = JSON.parse(await Deno.readTextFile(URL_OF_CASES));

/** The case's predictions, ranked, with probabilities in float64. */
function ranked({ name, samples, classes, sharpness }: Case) {
  const logits = deterministicValues(`metrics.${name}.logits`, samples * classes, sharpness);
  const rows = Array.from({ length: samples }, (_, row) => {
    const own = [...logits.subarray(row * classes, (row + 1) * classes)];
    const most = Math.max(...own);
    const shares = own.map((value) => Math.exp(value - most));
    const sum = shares.reduce((a, b) => a + b, 0);
    const order = [...own.keys()].sort((a, b) => own[b] - own[a]);
    return order.map((index) => ({ index, probability: shares[index] / sum }));
  });
  return {
    width: classes,
    ranked: rows.flat().map(({ index }) => index),
    probabilities: rows.flat().map(({ probability }) => probability),
  };
}

function assertNear(actual: number, expected: number, what: string): void {
  assert.ok(Math.abs(actual - expected) < 1e-7, `${what}: ${actual}, expected ${expected}`);
}

for (const expected of CASES) {
  Deno.test(`classificationReport() agrees with scikit-learn and NumPy: ${expected.name}`, () => {
    const { classes, labels, support } = expected;
    const names = Array.from({ length: classes }, (_, index) => `class ${index}`);
    const report = classificationReport({ labels, ...ranked(expected) }, names);
    assert.equal(report.count, expected.samples);
    assert.deepEqual(report.confusionMatrix, expected.confusion);
    assertNear(report.accuracy, expected.accuracy, "accuracy");
    assert.equal(report.top5 === undefined, expected.top5 === undefined);
    if (expected.top5 !== undefined) assertNear(report.top5!, expected.top5, "top-5");
    report.perClass.forEach((scores, label) => {
      assert.equal(scores.support, support[label]);
      assertNear(scores.precision, expected.precision[label], `precision of ${label}`);
      if (support[label] === 0) {
        assert.ok(
          Number.isNaN(scores.recall) && Number.isNaN(scores.f1),
          `${label} has no samples`,
        );
        return;
      }
      assertNear(scores.recall, expected.recall[label], `recall of ${label}`);
      assertNear(scores.f1, expected.f1[label], `F1 of ${label}`);
    });
    for (const mean of ["macro", "weighted"] as const) {
      const { precision, recall, f1 } = report[mean];
      [precision, recall, f1].forEach((value, index) =>
        assertNear(value, expected[mean][index], `${mean} ${index}`)
      );
    }
    assertNear(report.calibration.ece, expected.ece, "ECE");
    assertNear(report.calibration.mce, expected.mce, "MCE");
    assert.deepEqual(report.calibration.bins.map(({ count }) => count), expected.binCounts);
  });
}

Deno.test("calibration() puts a confidence on an edge into the lower bin, and 0 into the first", () => {
  const edges = Array.from({ length: 16 }, (_, index) => index / 15);
  const { bins } = calibration(edges, edges.map(() => true));
  assert.deepEqual(bins.map(({ count }) => count), [2, ...new Array(14).fill(1)]);
  bins.forEach(({ to }, index) => assert.equal(to, (index + 1) / 15));
});

Deno.test("calibration() of a model that is right as often as it says is 0", () => {
  const right = Array.from({ length: 100 }, (_, index) => index < 80);
  const { ece, mce, confidence } = calibration(right.map(() => 0.8), right);
  assertNear(ece, 0, "ECE");
  assertNear(mce, 0, "MCE");
  assertNear(confidence, 0.8, "confidence");
});

Deno.test("calibration() without samples or with NaN is not a number; no probability is refused", () => {
  assert.ok(Number.isNaN(calibration([], []).ece));
  assert.ok(Number.isNaN(calibration([0.5, NaN], [true, true]).ece));
  assert.throws(() => calibration([1.5], [true]), /1\.5 is no probability/);
  assert.throws(() => calibration([1], []), RangeError);
});

Deno.test("a class that is never predicted has precision 0, one without samples doesn't count", () => {
  const scores = perClassScores(fromDense([[0, 3, 0], [0, 4, 1], [0, 0, 0]]), ["a", "b", "c"]);
  assert.deepEqual(scores.map(({ precision }) => precision), [0, 4 / 7, 0]);
  assert.deepEqual(scores.map(({ recall }) => recall), [0, 0.8, NaN]);
  assertNear(macroMean(scores).recall, 0.4, "macro");
  assertNear(weightedMean(scores).recall, 0.5, "weighted");
  assert.ok(Number.isNaN(macroMean([]).f1));
  assert.throws(() => perClassScores(fromDense([[1]]), []), /1 classes but 0 names/);
});

Deno.test("topKAccuracy() counts a label among the first k", () => {
  const ranked = [0, 1, 2, 2, 1, 0];
  const of = (k: number) => topKAccuracy([1, 0], ranked, { k, width: 3 });
  assert.deepEqual([of(1), of(2), of(3)], [0, 0.5, 1]);
  assert.throws(() => of(4), RangeError);
});

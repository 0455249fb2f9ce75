import assert from "node:assert/strict";
import { epochsOf, meanAt } from "../../../src/compare/report/means.ts";
import type { ComparedRun } from "../../../src/compare/comparison.ts";
import { madeEpoch } from "../../support/made_run.ts";

/** A run with so many epochs. */
const runOf = (epochs: number) =>
  ({
    epochs: Array.from({ length: epochs }, (_, index) => madeEpoch(index + 1)),
  }) as unknown as ComparedRun;

Deno.test("meanAt() is the mean over the runs that have an epoch", () => {
  const runs = [runOf(1), runOf(3)];
  assert.equal(meanAt(runs, 1, ({ epoch }) => epoch), 1);
  assert.equal(meanAt(runs, 3, ({ epoch }) => 10 * epoch), 30);
  assert.ok(Number.isNaN(meanAt(runs, 4, ({ epoch }) => epoch)));
  assert.ok(Number.isNaN(meanAt([], 1, ({ epoch }) => epoch)));
});

Deno.test("epochsOf() is the most epochs that a run has", () => {
  assert.equal(epochsOf([runOf(1), runOf(3)]), 3);
  assert.equal(epochsOf([]), 0);
});

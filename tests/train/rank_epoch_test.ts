import assert from "node:assert/strict";
import { requireCount } from "../../src/train/rank_epoch.ts";

Deno.test("requireCount() refuses numbers of right answers that a batch can't have", () => {
  for (const correct of [0, 3, 8]) requireCount(correct, 8, 0);
  requireCount(0, 0, 0);
  for (const correct of [-1, 9, 0.5, NaN, Infinity]) {
    assert.throws(
      () => requireCount(correct, 8, 5),
      /^LockstepError: Step 5 counts \S+ right answers among 8 samples, which can't be: .*another one \(device cpu\)$/,
    );
  }
});

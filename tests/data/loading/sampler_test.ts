import assert from "node:assert/strict";
import fc from "fast-check";
import { planEpoch, stepsPerEpoch } from "../../../src/data/loading/sampler.ts";

const PLAN = {
  length: 10,
  globalBatch: 4,
  rank: 0,
  worldSize: 1,
  seed: 1,
  epoch: 0,
  shuffle: true,
};

Deno.test("planEpoch() gives every sample exactly once, in the same order for any number of ranks", () => {
  fc.assert(fc.property(
    fc.record({
      length: fc.integer({ min: 0, max: 200 }),
      globalBatch: fc.integer({ min: 1, max: 50 }),
      worldSize: fc.integer({ min: 1, max: 9 }),
      seed: fc.integer({ min: 0, max: 5 }),
      epoch: fc.integer({ min: 0, max: 5 }),
      shuffle: fc.boolean(),
    }),
    (options) => {
      const plans = Array.from(
        { length: options.worldSize },
        (_, rank) => planEpoch({ ...options, rank }),
      );
      const alone = planEpoch({ ...options, rank: 0, worldSize: 1 });
      assert.equal(alone.length, stepsPerEpoch(options.length, options.globalBatch));
      alone.forEach(({ step, indices, globalRows }, at) => {
        const shares = plans.map((plan) => plan[at]);
        assert.deepEqual(shares.flatMap((share) => [...share.indices]), [...indices]);
        assert.ok(shares.every((share) => share.step === step && share.globalRows === globalRows));
        let offset = 0;
        for (const share of shares) {
          assert.equal(share.rowOffset, offset);
          offset += share.indices.length;
        }
        const sizes = shares.map((share) => share.indices.length);
        assert.deepEqual(sizes, sizes.toSorted((a, b) => b - a), "the first ranks get more");
        assert.ok(sizes[0] - sizes.at(-1)! <= 1);
      });
      const all = alone.flatMap(({ indices }) => [...indices]).sort((a, b) => a - b);
      assert.deepEqual(all, Array.from({ length: options.length }, (_, index) => index));
    },
  ));
});

Deno.test("planEpoch() shuffles anew in each epoch and for each seed, and the same way twice", () => {
  const order = (change: object) =>
    planEpoch({ ...PLAN, length: 100, ...change }).flatMap(({ indices }) => [...indices]);
  assert.deepEqual(order({}), order({}));
  assert.notDeepEqual(order({}), order({ epoch: 1 }));
  assert.notDeepEqual(order({}), order({ seed: 2 }));
  assert.deepEqual(order({ shuffle: false }), Array.from({ length: 100 }, (_, index) => index));
});

Deno.test("planEpoch() leaves out the steps before startStep and changes no other", () => {
  assert.deepEqual(planEpoch({ ...PLAN, startStep: 1 }), planEpoch(PLAN).slice(1));
  assert.deepEqual(planEpoch({ ...PLAN, startStep: 3 }), []);
});

Deno.test("planEpoch() gives ranks without rows an empty share", () => {
  const [step] = planEpoch({ ...PLAN, length: 2, rank: 3, worldSize: 4 });
  assert.equal(step.indices.length, 0);
  assert.equal(step.globalRows, 2);
  assert.equal(step.rowOffset, 2);
});

Deno.test("planEpoch() refuses numbers out of range by name", () => {
  assert.throws(() => planEpoch({ ...PLAN, rank: 1 }), /rank is 1, but must be .* from 0 to 0/);
  assert.throws(() => planEpoch({ ...PLAN, globalBatch: 0 }), /globalBatch is 0/);
  assert.throws(() => planEpoch({ ...PLAN, length: 1.5 }), RangeError);
});

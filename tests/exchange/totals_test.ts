import assert from "node:assert/strict";
import { compareSteps, type StepKey } from "../../src/base/step_key.ts";
import { gatherTotals, type RankCounts, sumWeights } from "../../src/exchange/totals.ts";

const KEY = { epoch: 2, step: 4 };

function counts(rank: number, more: Partial<RankCounts> = {}): RankCounts {
  const own = {
    ...{ rank, place: KEY as StepKey | undefined, samples: 2, weight: 1.5, lossSum: 0.1 * rank },
    ...{ correct: rank, statisticsRows: 2, trackedBatches: rank, times: undefined },
    ...more,
  };
  return {
    ...own,
    hasBegun: (key) => own.place !== undefined && compareSteps(own.place, key) === 0,
  };
}

Deno.test("gatherTotals() adds up in rank order once all ranks are there", () => {
  assert.equal(gatherTotals([counts(0), counts(1, { place: undefined })], KEY), undefined);
  assert.equal(
    gatherTotals([counts(0), counts(1, { place: { epoch: 2, step: 3 } })], KEY),
    undefined,
  );
  const ranks = [counts(0), counts(1), counts(2, { samples: 3 })];
  assert.deepEqual(gatherTotals(ranks, KEY), {
    totals: {
      ...{ samples: 7, weight: 4.5, lossSum: 0 + 0.1 + 0.2, correct: 3 },
      ...{ statisticsRows: 6, trackedBatches: 2 },
    },
    ranks: [2, 2, 3].map((samples) => ({ samples, times: undefined })),
    worstRank: undefined,
  });
});

Deno.test("gatherTotals() names the first rank whose loss is not finite, and refuses one that is ahead", () => {
  const bad = [counts(0), counts(1, { lossSum: NaN }), counts(2, { lossSum: Infinity })];
  assert.equal(gatherTotals(bad, KEY)!.worstRank, 1);
  const ahead = [counts(0), counts(1, { place: { epoch: 3, step: 0 } })];
  assert.throws(() => gatherTotals(ahead, KEY), {
    message: "Rank 1 is in epoch 3, step 0, the coordinator in epoch 2, step 4",
  });
});

Deno.test("sumWeights() leaves ranks without samples or rows out, and gives 0 where nothing weighs", () => {
  const ranks = [
    { samples: 4, weight: 1, statisticsRows: 4 },
    { samples: 0, weight: 0, statisticsRows: 0 },
    { samples: 4, weight: 3, statisticsRows: 0 },
  ];
  assert.deepEqual(sumWeights(ranks, { weight: 4, statisticsRows: 4 }), {
    gradients: [0.25, null, 0.75],
    statistics: [1, null, null],
  });
  const weightless = ranks.map((rank) => ({ ...rank, weight: 0 }));
  assert.deepEqual(sumWeights(weightless, { weight: 0, statisticsRows: 4 }).gradients, [
    0,
    null,
    0,
  ]);
});

import assert from "node:assert/strict";
import {
  readRecord,
  RECORD_LENGTH,
  writeContribution,
  writeShare,
} from "../../src/exchange/step_record.ts";

Deno.test("a record gives back all numbers of a contribution and of a share", () => {
  const own = {
    ...{ epoch: 3, step: 70_000, samples: 5, weight: 4.5, lossSum: 1 / 3, correct: 4 },
    ...{ statisticsRows: 2, trackedBatches: 3 },
    times: { data: 0.1, forwardBackward: 0.2, exchange: 0.3, update: 0.4 },
  };
  const record = new Float64Array(RECORD_LENGTH).fill(7);
  writeContribution(record, own);
  for (
    const share of [
      { finite: true, worstRank: undefined, squares: 0.7 },
      { finite: false, worstRank: 0, squares: NaN },
      { finite: false, worstRank: 12, squares: Infinity },
    ]
  ) {
    writeShare(record, share);
    assert.deepEqual(readRecord(record), { ...own, ...share });
  }
});

Deno.test("a contribution's defaults: all samples count in the statistics, and nothing was measured", () => {
  const record = new Float64Array(RECORD_LENGTH).fill(7);
  const own = { epoch: 1, step: 0, samples: 5, weight: 0, lossSum: NaN, correct: 0 };
  writeContribution(record, own);
  const { finite: _, worstRank: __, squares: ___, ...counts } = readRecord(record);
  assert.deepEqual(counts, { ...own, statisticsRows: 5, trackedBatches: 0, times: undefined });
});

import assert from "node:assert/strict";
import { RECORD_LENGTH, StepRecord, StepRecords } from "../../src/exchange/step_record.ts";

/** The numbers of a record. */
function read(record: StepRecord) {
  const { epoch, step, samples, weight, lossSum, correct, statisticsRows, trackedBatches } = record;
  const { times, digest, finite, worstRank, squares } = record;
  return {
    ...{ epoch, step, samples, weight, lossSum, correct, statisticsRows, trackedBatches },
    ...{ times, digest, finite, worstRank, squares },
  };
}

Deno.test("a record gives back all numbers of a contribution and of a share", () => {
  const own = {
    ...{ epoch: 3, step: 70_000, samples: 5, weight: 4.5, lossSum: 1 / 3, correct: 4 },
    ...{ statisticsRows: 2, trackedBatches: 3 },
    times: { data: 0, forwardBackward: 0.2, exchange: 0.3, update: 0.4 },
    digest: Number.MAX_SAFE_INTEGER,
  };
  const record = new StepRecord(new Float64Array(RECORD_LENGTH).fill(7));
  record.contribute(own);
  for (
    const share of [
      { finite: true, worstRank: undefined, squares: 0.7 },
      { finite: false, worstRank: 0, squares: NaN },
      { finite: false, worstRank: 12, squares: Infinity },
    ]
  ) {
    record.share(share);
    assert.deepEqual(read(record), { ...own, ...share });
  }
});

Deno.test("a contribution's defaults: all samples count in the statistics, and nothing was measured", () => {
  const record = new StepRecord(new Float64Array(RECORD_LENGTH).fill(7));
  const own = { epoch: 1, step: 0, samples: 5, weight: 0, lossSum: NaN, correct: 0 };
  record.contribute(own);
  const { finite: _, worstRank: __, squares: ___, ...counts } = read(record);
  const nothing = { times: undefined, digest: undefined };
  assert.deepEqual(counts, { ...own, statisticsRows: 5, trackedBatches: 0, ...nothing });
});

Deno.test("the records of the last steps and of all ranks are apart", () => {
  const records = new StepRecords(new Float64Array(3 * 4 * RECORD_LENGTH), 3, 4);
  const own = (step: number, rank: number) => ({
    ...{ epoch: 1, step, samples: 10 * step + rank, weight: 1, lossSum: 0, correct: 0 },
  });
  for (let step = 0; step < 7; step++) {
    records.of(step).forEach((record, rank) => record.contribute(own(step, rank)));
  }
  for (let step = 3; step < 7; step++) {
    assert.deepEqual(records.of(step).map(({ samples }) => samples % 10), [0, 1, 2]);
    assert.ok(records.of(step).every((record) => record.step === step));
  }
  records.clear();
  assert.ok(records.of(3).every(({ epoch }) => epoch === 0));
});

import assert from "node:assert/strict";
import { StepMeter } from "../../src/coordinator/listeners/step_meter.ts";

const PLACE = { epoch: 1, step: 2, examples: 16, learningRate: 0.1 };
const sums = (lossSum: number, correct: number) => ({ lossSum, weight: 8, correct, count: 8 });

/** Two ranks' reports; `exchange` and `update` are of the step before. */
const reports = (exchanges: [number, number], update: number, forward: [number, number]) =>
  [0, 1].map((rank) => ({
    samples: 4,
    times: { data: 1, forwardBackward: forward[rank], exchange: exchanges[rank], update },
  }));

Deno.test("StepMeter gives means since the last point, with waiting apart from the exchange", () => {
  let now = 1000;
  const meter = new StepMeter(2, () => now);
  meter.begin();
  meter.add(sums(16, 2), reports([0, 0], 0, [10, 30]));
  meter.add(sums(8, 6), reports([25, 5], 2, [14, 34]));
  now += 100;
  const point = meter.take(PLACE)!;
  assert.deepEqual([point.loss, point.accuracy, point.imagesPerSecond], [1.5, 0.5, 160]);
  assert.deepEqual(point.ms, {
    data: 1,
    forwardBackward: 22,
    exchange: 5, // of the one step that is known
    idle: 10, // (25 + 5) / 2 - 5
    update: 2,
    total: 40,
  });
  assert.deepEqual(
    point.ranks.map(({ samples, imagesPerSecond, ms }) => ({ samples, imagesPerSecond, ms })),
    [
      {
        samples: 8,
        imagesPerSecond: 80,
        ms: { data: 1, forwardBackward: 12, exchange: 25, update: 2 },
      },
      {
        samples: 8,
        imagesPerSecond: 80,
        ms: { data: 1, forwardBackward: 32, exchange: 5, update: 2 },
      },
    ],
  );
  assert.equal(meter.take(PLACE), undefined, "no steps since");
});

Deno.test("StepMeter doesn't take the first step after a pause for one without exchange", () => {
  let now = 0;
  const meter = new StepMeter(1, () => now);
  const one = (exchange: number, update: number) => [
    { samples: 8, times: { data: 0, forwardBackward: 5, exchange, update } },
  ];
  meter.begin();
  meter.add(sums(8, 8), one(0, 0));
  meter.add(sums(8, 8), one(6, 4));
  now += 50;
  const first = meter.take(PLACE)!;
  now += 5000; // validation
  meter.begin();
  meter.add(sums(8, 8), one(0, 0));
  now += 20;
  const second = meter.take(PLACE)!;
  assert.deepEqual([first.ms.exchange, first.ms.update], [6, 4]);
  assert.deepEqual([second.ms.exchange, second.ms.update], [6, 4], "as last known");
  assert.equal(second.imagesPerSecond, 400, "the pause doesn't count");
});

Deno.test("StepMeter counts a step without samples or times, and gives no point of such alone", () => {
  const meter = new StepMeter(1, () => 0);
  meter.begin();
  meter.add({ lossSum: 0, weight: 0, correct: 0, count: 0 }, [{ samples: 0, times: undefined }]);
  assert.equal(meter.take(PLACE), undefined);
});

Deno.test("StepMeter measures the ranks that are left of a step, and keeps the sums of the steps before", () => {
  let now = 0;
  const meter = new StepMeter(2, () => now);
  meter.begin();
  meter.add(sums(16, 2), reports([0, 0], 0, [10, 30]));
  meter.add(sums(8, 6), [
    { samples: 8, times: { data: 1, forwardBackward: 20, exchange: 0, update: 2 } },
  ]);
  now += 100;
  assert.deepEqual(meter.pending!.ranks, [8]);
  const point = meter.take(PLACE)!;
  assert.deepEqual([point.loss, point.imagesPerSecond], [1.5, 160]);
  assert.deepEqual(
    point.ranks.map(({ rank, samples, ms }) => [rank, samples, ms.forwardBackward]),
    [
      [0, 8, 20],
    ],
  );
});

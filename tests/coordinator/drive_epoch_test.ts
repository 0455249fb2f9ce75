import assert from "node:assert/strict";
import {
  driveEpoch,
  type EpochDriver,
  type EpochTotals,
  type SpanOptions,
} from "../../src/coordinator/epochs/drive_epoch.ts";
import type { SteppingCluster, StepReducer } from "../../src/cluster/drive_steps.ts";
import { LockstepError } from "../../src/base/errors.ts";
import type { StepTotals } from "../../src/exchange/gradient_exchange.ts";
import type { Reply } from "../../src/protocol/command_channel.ts";

const TOTALS: StepTotals = {
  samples: 8,
  weight: 8,
  lossSum: 4,
  correct: 2,
  statisticsRows: 8,
  trackedBatches: 1,
  finite: true,
  action: "continue",
  ranks: [{ samples: 4, times: undefined }, { samples: 4, times: undefined }],
};
const PLAN = { epochs: 5, globalBatch: 8, stepsPerEpoch: 3, samplesPerEpoch: 24 };
const SPAN = { epoch: 2, startStep: 0, optimizerSteps: 3 };
const NOTHING: EpochTotals = { lossSum: 0, weight: 0, correct: 0, count: 0 };

/** The workers' answers at the end of the epoch. */
const REPLIES: Reply[] = [
  { rank: 0, result: { steps: 3 } },
  { rank: 1, result: { steps: 3 } },
];

/** A step of the fakes, as far as it differs from a normal one; with `hangs` it waits for the signal. */
type FakeStep = Partial<StepTotals> & { readonly hangs?: boolean };

/** A run whose parts write down what they are asked to do. */
function fakeRun(steps: Record<number, FakeStep> = {}) {
  const calls: string[] = [];
  const lost = new AbortController();
  const replies = Promise.withResolvers<Reply[]>();
  const hanging = Promise.withResolvers<void>();
  const reducer: StepReducer = {
    reduce: async ({ epoch, step }, decide, { signal } = {}) => {
      signal?.throwIfAborted();
      const { hangs, ...totals } = steps[step] ?? {};
      if (hangs) {
        hanging.resolve();
        await new Promise((_, reject) =>
          signal!.addEventListener("abort", () => reject(signal!.reason))
        );
      }
      const action = decide({ epoch, step });
      calls.push(`reduce ${step}, ${action}`);
      if (action === "stop" || step + 1 === PLAN.stepsPerEpoch) replies.resolve(REPLIES);
      return { ...TOTALS, action, ...totals };
    },
  };
  const driver: EpochDriver = {
    cluster: {
      lost: lost.signal,
      exchange: { reducer },
      recover: (cause) => Promise.reject(cause),
      callAll: (name, args) => {
        calls.push(`call ${name} ${JSON.stringify(args)}`);
        return replies.promise;
      },
      inStep: ({ epoch, step }) => calls.push(`in ${epoch}/${step}`),
      watchSteps: () => ({ [Symbol.dispose]: () => {} }),
    },
    skippedImages: {
      take: (epoch, start, end) => [
        { index: 4, path: `${epoch}: ${start} … ${end}.png`, reason: "damaged" },
      ],
    },
    reporter: {
      phase: ({ name, total, done }) => calls.push(`phase ${name}, ${done} of ${total}`),
      progress: ({ done, loss }) => calls.push(`progress ${done}, loss ${loss}`),
    },
    plan: PLAN,
    nonFinite: ({ step }, { worstRank }) =>
      Promise.resolve(new LockstepError(`step ${step} of rank ${worstRank} is NaN`)),
  };
  const options: SpanOptions = {
    before: NOTHING,
    until: PLAN.stepsPerEpoch,
    shouldStop: () => false,
    onStep: (step, { count }, ranks) =>
      void calls.push(`step ${step}: ${count} of ${ranks.length} ranks`),
  };
  return { calls, driver, options, lost, replies, hanging: hanging.promise };
}

Deno.test("driveEpoch() rules each step, passes on its sums, and adds up the epoch", async () => {
  const { calls, driver, options } = fakeRun({ 1: { lossSum: 2, statisticsRows: 7 } });
  const trained = await driveEpoch(driver, SPAN, options);
  assert.deepEqual(calls, [
    "phase train, 0 of 24",
    'call trainEpoch {"epoch":2,"startStep":0,"optimizerSteps":3}',
    ...["in 2/0", "reduce 0, continue", "step 1: 8 of 2 ranks", "progress 8, loss 0.5"],
    ...["in 2/1", "reduce 1, continue", "step 2: 8 of 2 ranks", "progress 16, loss 0.375"],
    ...["in 2/2", "reduce 2, stop", "step 3: 8 of 2 ranks", `progress 24, loss ${10 / 24}`],
  ]);
  assert.deepEqual(trained, {
    ...{ stepsDone: 3, samples: 24, trackedBatches: 3, optimizerSteps: 3 },
    totals: { lossSum: 10, weight: 24, correct: 6, count: 24 },
    leftOut: { steps: 1, samples: 1 },
    skipped: [{ index: 4, path: "2: 0 … 3.png", reason: "damaged" }],
  });
});

Deno.test("driveEpoch() goes on within an epoch, with the totals of the steps before", async () => {
  const { calls, driver, options } = fakeRun();
  const before = { lossSum: 12, weight: 8, correct: 1, count: 8 };
  const trained = await driveEpoch(driver, { ...SPAN, startStep: 1 }, {
    ...options,
    before,
    until: 2,
  });
  assert.deepEqual(calls, [
    "phase train, 8 of 24",
    'call trainEpoch {"epoch":2,"startStep":1,"optimizerSteps":3}',
    ...["in 2/1", "reduce 1, stop", "step 2: 8 of 2 ranks", "progress 16, loss 1"],
  ]);
  assert.deepEqual(trained.totals, { lossSum: 16, weight: 16, correct: 3, count: 16 });
  assert.deepEqual([trained.stepsDone, trained.samples], [2, 8]);
  assert.equal(trained.skipped[0].path, "2: 1 … 2.png", "those of these steps");
  assert.equal(before.count, 8, "the caller's totals stay as they were");
});

Deno.test("driveEpoch() takes a step without samples: it counts as a step, and has no loss", async () => {
  const none = { samples: 0, weight: 0, lossSum: 0, correct: 0, statisticsRows: 0 };
  const { calls, driver, options } = fakeRun({ 0: { ...none, trackedBatches: 0 } });
  const trained = await driveEpoch(driver, SPAN, { ...options, until: 1 });
  assert.deepEqual(calls.slice(2), [
    ...["in 2/0", "reduce 0, stop", "step 1: 0 of 2 ranks", "progress 0, loss undefined"],
  ]);
  assert.deepEqual([trained.stepsDone, trained.samples], [1, 0]);
  assert.deepEqual(trained.leftOut, { steps: 0, samples: 0 });
});

Deno.test("driveEpoch() stops after the step in which it is asked to", async () => {
  const { calls, driver, options } = fakeRun();
  let asked = 0;
  const trained = await driveEpoch(driver, SPAN, { ...options, shouldStop: () => ++asked === 2 });
  assert.equal(trained.stepsDone, 2);
  assert.deepEqual(calls.slice(-4), [
    ...["in 2/1", "reduce 1, stop", "step 2: 8 of 2 ranks", "progress 16, loss 0.5"],
  ]);
});

Deno.test("driveEpoch() ends at a step that isn't finite, before anybody counts it", async () => {
  const { calls, driver, options } = fakeRun({ 1: { finite: false, worstRank: 1, lossSum: NaN } });
  await assert.rejects(
    driveEpoch(driver, SPAN, options),
    /^LockstepError: step 1 of rank 1 is NaN$/,
  );
  assert.deepEqual(calls.slice(-3), ["progress 8, loss 0.5", "in 2/1", "reduce 1, continue"]);
});

Deno.test("driveEpoch() ends at once where it is aborted, or a worker is lost in a step or between two", async () => {
  const aborted = fakeRun({ 1: { hangs: true } });
  const abort = new AbortController();
  const epoch = driveEpoch(aborted.driver, SPAN, aborted.options, abort.signal);
  await aborted.hanging;
  abort.abort(new LockstepError("interrupted"));
  await assert.rejects(epoch, /^LockstepError: interrupted$/);
  assert.deepEqual(aborted.calls.slice(-2), ["progress 8, loss 0.5", "in 2/1"]);

  const losing = fakeRun({ 2: { hangs: true } });
  const driven = driveEpoch(losing.driver, SPAN, losing.options);
  await losing.hanging;
  losing.lost.abort(new LockstepError("Rank 1 was killed by SIGKILL"));
  await assert.rejects(driven, /^LockstepError: Rank 1 was killed by SIGKILL$/);
  assert.deepEqual(losing.calls.slice(-2), ["progress 16, loss 0.5", "in 2/2"]);

  const between = fakeRun();
  const onStep = () => between.lost.abort(new LockstepError("Rank 0 is gone"));
  await assert.rejects(
    driveEpoch(between.driver, SPAN, { ...between.options, onStep }),
    /^LockstepError: Rank 0 is gone$/,
  );
});

Deno.test("driveEpoch() passes on what a listener throws, and what a worker failed of", async () => {
  const { driver, options } = fakeRun();
  const onStep = () => Promise.reject(new LockstepError("onStep threw"));
  await assert.rejects(
    driveEpoch(driver, SPAN, { ...options, onStep }),
    /^LockstepError: onStep threw$/,
  );
  const failing = fakeRun({ 1: { hangs: true } });
  const driven = driveEpoch(failing.driver, SPAN, failing.options);
  await failing.hanging;
  failing.replies.reject(new LockstepError("Rank 1 failed: no such file"));
  await assert.rejects(driven, /^LockstepError: Rank 1 failed: no such file$/);
});

Deno.test("driveEpoch() begins the command after a loss with the numbers of its first step", async () => {
  const lossScale = { scale: 1024, growthTracker: 5, skippedSteps: 1 };
  const nonFinite = { inARow: 0, ofEpoch: 1, limit: 2 };
  const overflow = { finite: false };
  const notANumber = { finite: false, lossSum: NaN };
  // Steps 0 and 1 are applied, step 2 overflows, step 3 is skipped, step 4 has no weight; the sixth is lost.
  const steps = { 2: overflow, 3: notANumber, 4: { weight: 0, samples: 0 } };
  const expected: Record<number, object> = {
    0: { optimizerSteps: 3, lossScale },
    1: { optimizerSteps: 4, lossScale: { ...lossScale, growthTracker: 6 } },
    2: { optimizerSteps: 5, lossScale: { ...lossScale, growthTracker: 7 } },
    3: { optimizerSteps: 5, lossScale: { scale: 512, growthTracker: 0, skippedSteps: 2 } },
    4: {
      ...{ optimizerSteps: 5, lossScale: { scale: 512, growthTracker: 0, skippedSteps: 2 } },
      nonFinite: { ...nonFinite, inARow: 1, ofEpoch: 2 },
    },
    5: {
      ...{ optimizerSteps: 5, lossScale: { scale: 512, growthTracker: 0, skippedSteps: 2 } },
      nonFinite: { ...nonFinite, inARow: 1, ofEpoch: 2 },
    },
  };
  const cases: [failsAt: number, held: number, mayDecideAhead: boolean][] = [0, 1, 2, 3, 4, 5]
    .flatMap((step) => [[step, step, true], [step, step, false]]);
  // One step is taken again; the program has heard of it, or nobody has.
  cases.push([3, 2, true], [3, 2, false], [5, 4, true], [5, 4, false]);
  for (const [failsAt, held, mayDecideAhead] of cases) {
    const { driver, options, calls } = fakeRun(steps);
    const { cluster } = driver;
    let commands = 0;
    const losing: SteppingCluster = {
      ...cluster,
      callAll: (name, args, given) => {
        commands++;
        const startStep = commands === 1 ? 0 : held;
        assert.deepEqual(args, {
          ...{ epoch: 2, startStep, nonFinite },
          ...expected[startStep],
        }, `${failsAt}, ${held}`);
        return commands === 1 ? new Promise(() => {}) : cluster.callAll(name, args, given);
      },
      exchange: {
        reducer: {
          reduce: (key, ...rest) =>
            commands === 1 && key.step === failsAt
              ? Promise.reject(new Error("lost"))
              : cluster.exchange.reducer.reduce(key, ...rest),
        },
      },
      recover: async (cause, { booked }) => {
        if ((cause as Error).message !== "lost") throw cause;
        const { steps } = await booked!();
        assert.equal(steps, failsAt);
        return held;
      },
    };
    const trained = await driveEpoch(
      { ...driver, cluster: losing, plan: { ...PLAN, stepsPerEpoch: 6 } },
      { ...SPAN, lossScale, nonFinite },
      { ...options, until: 6, mayDecideAhead },
    );
    const reported = calls.filter((call) => call.startsWith("step "));
    assert.equal(reported.length, 6, `${failsAt}, ${held}: ${reported}`);
    assert.deepEqual([trained.stepsDone, trained.optimizerSteps], [6, 3]);
    assert.equal(trained.totals.count, 8 * 4);
    assert.deepEqual(trained.nonFinite, { inARow: 0, ofEpoch: 2 });
  }
});

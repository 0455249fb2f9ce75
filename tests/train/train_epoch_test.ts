import assert from "node:assert/strict";
import type { Batch } from "../../src/data/loading/loader.ts";
import type { StepContribution, StepResult } from "../../src/exchange/gradient_exchange.ts";
import type { StepVerdict } from "../../src/train/step_judge.ts";
import { type EpochWork, trainEpoch } from "../../src/train/train_epoch.ts";

const TIMES = { data: 1, forwardBackward: 2, exchange: 3, update: 4 };
const REDUCED: StepResult = {
  samples: 8,
  weight: 8,
  lossSum: 4,
  correct: 2,
  statisticsRows: 8,
  action: "continue",
  finite: true,
  squares: 0.5,
};

/** The differences between a fake step and a normal one. */
interface FakeStep {
  readonly reduced?: Partial<StepResult>;
  readonly verdict?: StepVerdict;
  readonly rows?: number;
  readonly skipped?: readonly string[];
  readonly during?: () => void;
}

/** A rank whose parts write down what they are asked to do. */
function fakeRank(steps: readonly FakeStep[], firstStep = 0) {
  const calls: string[] = [];
  const contributions: StepContribution[] = [];
  let position = 0;
  const fake = () => steps[position];
  const work: EpochWork = {
    async *batches(signal) {
      for (; position < steps.length; position++) {
        signal?.throwIfAborted();
        calls.push("batch");
        const { rows = 4, skipped = [] } = fake();
        yield {
          step: firstStep + position,
          labels: new Int32Array(rows),
          skipped: skipped.map((path) => ({ path, reason: "damaged" })),
        } as unknown as Batch;
      }
    },
    reportSkipped: ({ skipped }, signal) => {
      signal?.throwIfAborted();
      calls.push(`skipped ${skipped.map(({ path }) => path)}`);
      return Promise.resolve();
    },
    forwardBackward: ({ step, labels }) => {
      calls.push("forwardBackward");
      fake().during?.();
      const samples = labels.length;
      const [weight, lossSum, correct] = [samples, samples / 2, 1];
      return Promise.resolve({ epoch: 1, step, samples, weight, lossSum, correct });
    },
    sumSquares: (ranges) => {
      calls.push(`squares ${ranges.length}`);
      return 0.5;
    },
    judge: (reduced) => fake().verdict ?? (reduced.finite ? "apply" : "fail"),
    update: (step, reduced, done) => {
      calls.push(`update ${step} after ${done}, weight ${reduced.weight}`);
      return Promise.resolve();
    },
    commit: () => void calls.push("commit"),
    diagnose: (_batch, { lossSum }, verdict) => {
      calls.push(`diagnose ${verdict}, own loss ${lossSum}`);
      return Promise.resolve();
    },
    finish: ({ step }) => void calls.push(`finish ${step}`),
    exchange: {
      reduceScatter: (contribution, signal) => {
        signal?.throwIfAborted();
        calls.push("reduceScatter");
        contributions.push(contribution);
        const ranges = fake().reduced?.finite === false ? [] : [{ begin: 0, end: 1 }];
        return Promise.resolve(ranges);
      },
      agree: (squares, signal) => {
        signal?.throwIfAborted();
        calls.push(`agree ${squares}`);
        return Promise.resolve({ ...REDUCED, ...fake().reduced });
      },
      allGather: (signal) => {
        signal?.throwIfAborted();
        calls.push("allGather");
        return Promise.resolve();
      },
    },
  };
  const watch = {
    begin: (step: number) => void calls.push(`begin ${step}`),
    enter: (phase: string) => void calls.push(`[${phase}]`),
    end: ({ action }: StepResult) => void calls.push(`end, ${action}`),
    times: TIMES,
  };
  return { work, watch, calls, contributions };
}

const STEP = (step: number, done: number, action = "continue", skipped: string[] = []) => [
  "batch",
  `begin ${step}`,
  ...skipped,
  "[computing]",
  "forwardBackward",
  "[waiting for the other ranks]",
  "reduceScatter",
  "squares 1",
  "agree 0.5",
  `finish ${step}`,
  "[updating its parameters]",
  `update ${step} after ${done}, weight 8`,
  "[waiting for the other ranks]",
  "allGather",
  "commit",
  `end, ${action}`,
];

Deno.test("trainEpoch() takes its steps in order: batch, gradients, their sum, update, gathering", async () => {
  const { work, watch, calls, contributions } = fakeRank([{}, { skipped: ["a.jpg"] }], 5);
  const outcome = await trainEpoch(work, watch);
  assert.deepEqual(calls, [
    "[waiting for its batch]",
    ...STEP(5, 0),
    "[waiting for its batch]",
    ...STEP(6, 1, "continue", ["[waiting for the coordinator]", "skipped a.jpg"]),
    "[waiting for its batch]",
  ]);
  assert.deepEqual(outcome, { steps: 2 });
  assert.deepEqual(contributions.map(({ step, times }) => [step, times]), [[5, TIMES], [6, TIMES]]);
});

Deno.test("trainEpoch() ends before an update that isn't finite, and names the step", async () => {
  const { work, watch, calls } = fakeRank([{}, { reduced: { finite: false } }, {}]);
  const outcome = await trainEpoch(work, watch);
  assert.deepEqual(outcome, { steps: 1, notFinite: 1 });
  assert.deepEqual(
    calls.slice(-6),
    [
      ...["reduceScatter", "squares 0", "agree 0.5"],
      ...["[computing]", "diagnose fail, own loss 2", "finish 1"],
    ],
    "neither an update nor an all-gather",
  );
});

Deno.test("trainEpoch() leaves out a step that overflowed or is skipped, without an update, and goes on", async () => {
  for (const verdict of ["rescale", "skip"] as const) {
    const overflow = { reduced: { finite: false }, verdict };
    const { work, watch, calls } = fakeRank([overflow, {}]);
    assert.deepEqual(await trainEpoch(work, watch), { steps: 1 });
    const cause = verdict === "skip" ? ["[computing]", "diagnose skip, own loss 2"] : [];
    const end = [...cause, "finish 0", "end, continue"];
    assert.deepEqual(
      calls.slice(6, 9 + end.length),
      ["reduceScatter", "squares 0", "agree 0.5", ...end],
    );
    assert.ok(calls.includes("update 1 after 0, weight 8"), "the step doesn't count");
  }
});

Deno.test("trainEpoch() takes part in steps for which the rank has no rows", async () => {
  const { work, watch, calls, contributions } = fakeRank([{ rows: 0 }]);
  assert.equal((await trainEpoch(work, watch)).steps, 1);
  assert.equal(contributions[0].samples, 0);
  assert.ok(calls.includes("allGather"), "the others wait for it");
});

Deno.test("trainEpoch() makes no update of a step without any sample, and goes on", async () => {
  const nothing = { weight: 0, statisticsRows: 0, samples: 0 };
  const { work, watch, calls } = fakeRank([{ reduced: nothing, skipped: ["b.jpg"] }, {}]);
  const outcome = await trainEpoch(work, watch);
  assert.deepEqual(outcome, { steps: 1 });
  assert.deepEqual(calls.slice(8, 13), [
    "reduceScatter",
    "squares 1",
    "agree 0.5",
    "finish 0",
    "end, continue",
  ]);
  assert.ok(calls.includes("update 1 after 0, weight 8"), "the step doesn't count");
});

Deno.test("trainEpoch() moves statistics alone where all classes have weight 0, which is no optimizer step", async () => {
  const { work, watch, calls } = fakeRank([{ reduced: { weight: 0 } }]);
  assert.equal((await trainEpoch(work, watch)).steps, 0);
  assert.ok(calls.includes("update 0 after 0, weight 0"));
  assert.ok(calls.includes("allGather"));
});

Deno.test("trainEpoch() takes the step at which the coordinator says stop, and asks for no batch after it", async () => {
  const { work, watch, calls } = fakeRank([{}, { reduced: { action: "stop" } }, {}]);
  assert.equal((await trainEpoch(work, watch)).steps, 2);
  assert.deepEqual(calls.slice(-STEP(1, 1).length), STEP(1, 1, "stop"));
});

Deno.test("trainEpoch() throws the signal's reason, without an update after it", async () => {
  const controller = new AbortController();
  const reason = new Error("lost");
  const { work, watch, calls } = fakeRank([{}, { during: () => controller.abort(reason) }]);
  await assert.rejects(trainEpoch(work, watch, controller.signal), (error) => error === reason);
  assert.deepEqual(calls.slice(-2), ["[waiting for the other ranks]", "finish 1"]);
  assert.equal(calls.filter((call) => call.startsWith("update")).length, 1);
});

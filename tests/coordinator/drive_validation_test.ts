import assert from "node:assert/strict";
import {
  driveValidation,
  type ValidationDriver,
} from "../../src/coordinator/epochs/drive_validation.ts";
import { confusionRecord } from "../../src/metrics/confusion.ts";
import type { Reply } from "../../src/protocol/command_channel.ts";
import { packScores } from "../../src/train/score_bytes.ts";

/** One scored sample: its position, class, loss and the predicted class. */
type Scored = readonly [index: number, label: number, loss: number, predicted: number];

const VAL = [0, 1, 1, 0].map((label, index) => ({ index, label, path: `${index}.png` }));

/** A rank's answer, as a worker packs it. */
function reply(
  rank: number,
  scored: readonly Scored[],
  more:
    & { weight?: number; skipped?: { index: number; path: string; reason: string }[] }
    & Record<
      string,
      unknown
    > = {},
): Reply {
  const result = {
    ...{ weight: scored.length, count: scored.length, width: 2, metrics: [], skipped: [] },
    ...more,
  };
  const payload = packScores({
    indices: scored.map(([index]) => index),
    labels: scored.map(([, label]) => label),
    losses: scored.map(([, , loss]) => loss),
    ranked: scored.flatMap(([, , , predicted]) =>
      predicted < 0 ? [-1, -1] : [predicted, 1 - predicted]
    ),
    probabilities: scored.flatMap(() => [0.75, 0.25]),
    values: [],
  });
  return { rank, result, payload: payload as Uint8Array<ArrayBuffer> };
}

/** A validation over two ranks, whose parts write down what they are asked to do. */
function fakeValidation(replies: readonly Reply[], more: Partial<ValidationDriver> = {}) {
  const calls: string[] = [];
  const driver: ValidationDriver = {
    cluster: {
      callAll: (name, args) => {
        calls.push(`call ${name} ${JSON.stringify(args)}`);
        return Promise.resolve([...replies]);
      },
      recover: (cause) => Promise.reject(cause),
      inValidation: (epoch) => calls.push(`validating in ${epoch}`),
      stepsBegun: () => [1, 1],
    },
    reporter: {
      phase: ({ name, epoch, total }) => calls.push(`${name} ${epoch}, ${total}`),
      progress: ({ done }) => calls.push(`progress ${done}`),
    },
    dataset: { val: VAL, classes: ["cat", "dog"] },
    rowsPerStep: 2,
    metrics: [],
    purpose: { phase: "validate", epochs: 3, images: "validation", cure: "lower train.lr" },
    ...more,
  };
  return { calls, driver };
}

const WHOLE = [
  reply(0, [[0, 0, 0.5, 0], [2, 1, 1.5, 1]]),
  reply(1, [[3, 0, 2, 1], [1, 1, 0.25, 1]]),
];

Deno.test("driveValidation() puts the ranks' scores in the order of the samples", async () => {
  const { calls, driver } = fakeValidation(WHOLE);
  const validated = await driveValidation(driver, 2);
  assert.deepEqual(calls, ["validate 2, 4", "validating in 2", 'call validate {"epoch":2}']);
  assert.deepEqual([...validated.predictions], [0, 1, 1, 1]);
  assert.deepEqual(validated.samples.map((sample) => sample?.loss), [0.5, 0.25, 1.5, 2]);
  assert.deepEqual([validated.loss, validated.accuracy, validated.count], [4.25 / 4, 0.75, 4]);
  assert.deepEqual(confusionRecord(validated.confusion).confusionMatrix, [[1, 1], [0, 2]]);
  assert.equal(validated.metrics, undefined);
  assert.equal(validated.features, undefined);
});

Deno.test("driveValidation() gives the user's own metrics, kept features, and what was skipped", async () => {
  const skipped = [{ index: 3, path: "3.png", reason: "damaged" }];
  const own = (sum: number | null, count: number) => ({
    metrics: [{ valued: false, sum, count }],
    features: { train: 2, val: 1, bytes: 100 },
  });
  const learned: number[] = [];
  const { driver } = fakeValidation([
    reply(0, [[0, 0, 0.5, 0], [2, 1, 1.5, 1]], own(3, 2)),
    reply(1, [[1, 1, 0.25, 0]], { ...own(1, 2), skipped }),
  ], {
    metrics: ["f1"],
    dataset: {
      val: VAL,
      classes: ["cat", "dog"],
      learnLabel: (_set, index, label) => learned[index] = label,
    },
  });
  const validated = await driveValidation(driver, 1);
  assert.deepEqual(validated.metrics, { f1: 1 });
  assert.deepEqual(validated.features, { train: 4, val: 2, bytes: 200 });
  assert.deepEqual(validated.skipped, skipped);
  assert.deepEqual([...validated.predictions], [0, 0, 1, -1]);
  assert.deepEqual([validated.count, validated.loss], [3, 0.75]);
  assert.deepEqual(learned, [0, 1, 1]);
});

Deno.test("driveValidation() refuses scores that don't add up", async () => {
  const refused: [Reply[], RegExp][] = [
    [[WHOLE[0], reply(1, [[3, 0, 2, 1]])], /add up: 3 scored and 0 skipped of 4 samples$/],
    [[WHOLE[0], reply(1, [[0, 0, 2, 1], [1, 1, 1, 1]])], /add up: sample 0 was scored twice$/],
    [[WHOLE[0], reply(1, [[4, 0, 2, 1], [1, 1, 1, 1]])], /add up: sample 4 was scored, of 4$/],
  ];
  for (const [replies, message] of refused) {
    await assert.rejects(driveValidation(fakeValidation(replies).driver, 1), message);
  }
});

Deno.test("driveValidation() refuses outputs that are not finite, and weights of 0, for its purpose", async () => {
  const bad = [WHOLE[0], reply(1, [[3, 0, NaN, -1], [1, 1, 0.25, 1]], { nonFiniteLayer: "fc" })];
  await assert.rejects(
    driveValidation(fakeValidation(bad).driver, 1),
    /output is NaN or infinite for 1 of 4 validation images \(3\.png\), from the layer fc on: lower train\.lr$/,
  );
  const purpose = {
    phase: "evaluate" as const,
    epochs: 1,
    images: "training",
    cure: "evaluate another",
  };
  const { calls, driver } = fakeValidation(bad, { purpose });
  await assert.rejects(
    driveValidation(driver, 1),
    /training images \(3\.png\).*: evaluate another$/,
  );
  assert.equal(calls[0], "evaluate 1, 4");
  const weightless = [
    reply(0, [[0, 0, 0, 0], [2, 1, 0, 1]], { weight: 0 }),
    reply(1, [[3, 0, 0, 1], [1, 1, 0, 1]], { weight: 0 }),
  ];
  await assert.rejects(
    driveValidation(fakeValidation(weightless).driver, 1),
    /^LockstepError: All validation images belong to classes whose weight in train\.classWeights is 0/,
  );
});

Deno.test("driveValidation() shows how far the workers are, and ends with them", async () => {
  const pending = Promise.withResolvers<Reply[]>();
  const { calls, driver } = fakeValidation(WHOLE);
  const cluster = { ...driver.cluster, callAll: () => pending.promise };
  const seen = Promise.withResolvers<void>();
  const reporter = {
    phase: () => {},
    progress: ({ done }: { done: number }) => {
      calls.push(`progress ${done}`);
      seen.resolve();
    },
  };
  const validation = driveValidation({ ...driver, cluster, reporter }, 1);
  await seen.promise;
  pending.reject(new Error("Rank 1 was killed"));
  await assert.rejects(validation, /^Error: Rank 1 was killed$/);
  assert.deepEqual(calls.slice(-1), ["progress 4"]);
});

Deno.test("driveValidation() asks all ranks again when some were lost, and counts each image once", async () => {
  const { calls, driver } = fakeValidation(WHOLE);
  let times = 0;
  const callAll: typeof driver.cluster.callAll = (name, args, options) =>
    ++times < 3
      ? Promise.reject(new Error(`loss ${times}`))
      : driver.cluster.callAll(name, args, options);
  const recover = (cause: unknown) => Promise.resolve(void calls.push((cause as Error).message));
  const cluster = { ...driver.cluster, callAll, recover };
  const { count } = await driveValidation({ ...driver, cluster }, 2);
  assert.equal(count, 4);
  assert.deepEqual(calls, [
    "validate 2, 4",
    ...["validating in 2", "loss 1", "validating in 2", "loss 2", "validating in 2"],
    'call validate {"epoch":2}',
  ]);
  const lost = { ...driver.cluster, callAll: () => Promise.reject(new Error("lost for good")) };
  await assert.rejects(driveValidation({ ...driver, cluster: lost }, 2), /lost for good/);
});

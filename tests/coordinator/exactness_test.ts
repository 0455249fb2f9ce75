import assert from "node:assert/strict";
import { join } from "node:path";
import { InterruptedError, train } from "../../mod.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { silentReporter } from "../../src/events/reporter.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState, relativeDifference, tinyConfig } from "../support/tiny_run.ts";

/** 21 images in batches of 8: two full batches and one of 5, which 2 and 4 workers share unevenly. */
const EPOCHS = 7; // of 3 steps: 21 steps

async function trained(
  root: string,
  changes: Parameters<typeof tinyConfig>[1],
  onLine: (line: string) => void = () => {},
) {
  const config: ConfigInput = tinyConfig(root, {
    ...changes,
    train: { epochs: EPOCHS, momentum: 0.9, weightDecay: 1e-3, nesterov: true, ...changes?.train },
  });
  const reporter = { ...silentReporter(), info: onLine, warn: onLine };
  const { folder, history } = await train(config, { reporter });
  return { ...await lastState(folder), history, folder };
}

/** The images of all tests here, and the runs that several of them compare with, each made once. */
const shared = {
  folder: "",
  runs: new Map<string, ReturnType<typeof trained>>(),
};

Deno.test.beforeAll(async () => {
  shared.folder = await Deno.makeTempDir({ prefix: "lockstep-exactness-" });
  await makeImages(join(shared.folder, "images"));
});

Deno.test.afterAll(async () => {
  await Deno.remove(shared.folder, { recursive: true });
});

/** A run with these changes, made at the first use. */
function sharedRun(changes: Parameters<typeof tinyConfig>[1] = {}): ReturnType<typeof trained> {
  const key = JSON.stringify(changes);
  const run = shared.runs.get(key) ?? trained(join(shared.folder, "images"), changes);
  shared.runs.set(key, run);
  return run;
}

Deno.test("1, 2 and 4 workers at the same global batch reach the same parameters", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const one = await sharedRun({ workers: 1 });
    for (const workers of [2, 4]) {
      const several = await sharedRun({ workers });
      const difference = relativeDifference(several.model, one.model);
      assert.ok(difference <= 1e-5, `${workers} workers differ by ${difference}`);
      several.history.epochs.forEach(({ train, validation }, epoch) => {
        const expected = one.history.epochs[epoch];
        assert.ok(Math.abs(train.loss - expected.train.loss) < 1e-5);
        assert.equal(train.accuracy, expected.train.accuracy);
        assert.equal(validation.count, 9, "each sample once");
      });
      const scored = several.history.best.confusionMatrix!.flat().reduce((sum, n) => sum + n, 0);
      assert.equal(scored, 9);
    }
    const perWorker = await trained(root, {
      workers: 2,
      train: { batchSize: undefined, batchSizePerWorker: 4 },
    });
    const difference = relativeDifference(perWorker.model, one.model);
    assert.ok(difference <= 1e-5, `batchSizePerWorker differs by ${difference}`);
    const first = one.history.epochs[0];
    const last = one.history.epochs[EPOCHS - 1];
    assert.ok(last.train.loss < first.train.loss, "it learns");
  }));

Deno.test("workers share a batch that doesn't divide, or has fewer images than they are, without changing the result", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const both = ["shared-memory", "nats"] as const;
    const cases = [
      { batchSize: 2, workers: 4, exchanges: both },
      { batchSize: 8, workers: 3, exchanges: both.slice(0, 1) },
    ];
    for (const { batchSize, workers, exchanges } of cases) {
      const train = { ...RICH, ...(batchSize === 8 ? {} : { epochs: 2, batchSize }) };
      const one = await sharedRun({ train });
      const lines: string[] = [];
      const several = [];
      for (const exchange of exchanges) {
        several.push(await trained(root, { workers, exchange, train }, (line) => lines.push(line)));
      }
      const [shared, nats] = several;
      const difference = relativeDifference(shared.model, one.model);
      assert.ok(difference <= 1e-4, `${batchSize} images, ${workers} workers: ${difference}`);
      if (nats) assert.deepEqual(nats.sha256, shared.sha256);
      assert.equal(one.history.epochs.length, batchSize === 8 ? EPOCHS : 2);
      shared.history.epochs.forEach(({ train, validation }, epoch) => {
        const expected = one.history.epochs[epoch];
        assert.ok(Math.abs(train.loss - expected.train.loss) < 1e-4);
        assert.ok(Math.abs(validation.loss - expected.validation.loss) < 1e-4);
        assert.equal(validation.count, 9, "each sample once");
      });
      assert.match(
        lines.join("\n"),
        new RegExp(`^A step has ${batchSize} images? for ${workers} `, "m"),
      );
    }
  }));

Deno.test("the same seed and number of workers give the same bits, another seed others", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const runs = [
      await sharedRun({ workers: 2 }),
      await trained(root, { workers: 2 }),
      await trained(root, { workers: 2, seed: 4 }),
    ];
    assert.deepEqual(Object.keys(runs[0].sha256), ["model.safetensors", "optimizer.safetensors"]);
    assert.deepEqual(runs[1].sha256, runs[0].sha256);
    assert.notDeepEqual(runs[2].sha256, runs[0].sha256);
  }));

Deno.test("gradients over NATS and through shared memory give the same bits", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    for (const workers of [1, 3]) {
      const [nats, shared] = [
        await trained(root, { workers, exchange: "nats", train: { epochs: 2, batchSize: 6 } }),
        await trained(root, {
          workers,
          exchange: "shared-memory",
          train: { epochs: 2, batchSize: 6 },
        }),
      ];
      assert.deepEqual(shared.sha256, nats.sha256);
      assert.deepEqual(shared.history.losses, nats.history.losses);
    }
  }));

Deno.test("a run without capture gives the numbers of one with it", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const captured = await sharedRun({ train: { epochs: 3 } });
    const eager = await trained(root, { engine: { capture: false }, train: { epochs: 3 } });
    const difference = relativeDifference(eager.model, captured.model);
    assert.ok(difference <= 1e-5, `they differ by ${difference}`);
    assert.equal(eager.history.epochs.length, 3);
    eager.history.epochs.forEach(({ train, validation }, index) => {
      const expected = captured.history.epochs[index];
      assert.ok(Math.abs(train.loss - expected.train.loss) < 1e-4);
      assert.ok(Math.abs(validation.loss - expected.validation.loss) < 1e-4);
      assert.equal(train.accuracy, expected.train.accuracy);
      assert.equal(validation.accuracy, expected.validation.accuracy);
    });
  }));

Deno.test("a network with BatchNorm gives the same bits in buckets over NATS as through shared memory", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { classes: ["a", "b"], train: 4, val: 1, side: 32 });
    const travels = [
      { exchange: "shared-memory" },
      { exchange: "nats", nats: { bucketSize: "4MB" } },
      { exchange: "nats", nats: { bucketSize: 0 } },
    ] as const;
    const results = [];
    for (const travel of travels) {
      results.push(
        await train(tinyConfig(root, {
          model: { name: "resnet18", weights: "none" },
          workers: 2,
          train: { epochs: 1, batchSize: 8, lr: 0.01, accumulationSteps: 2 },
          ...travel,
        })),
      );
    }
    const states = await Promise.all(results.map(({ folder }) => lastState(folder)));
    for (const { sha256 } of states) assert.deepEqual(sha256, states[0].sha256);
    assert.ok(states[0].model.every(Number.isFinite));
    assert.equal(results[0].history.epochs[0].validation.count, 2);
  }));

/** Everything that a step may do at once, in rates that rise and fall per step. */
const RICH = {
  optimizer: "adamw",
  momentum: undefined,
  nesterov: undefined,
  weightDecay: 1e-3,
  lr: 0.01,
  classWeights: { dark: 2, light: 0.5 },
  labelSmoothing: 0.1,
  clipGradNorm: 1,
  ema: { decay: 0.8, everySteps: 2 },
  groups: [{ match: ["fc.*"], lr: 0.03, weightDecay: 0 }],
  schedule: {
    name: "CosineAnnealingLR",
    per: "step",
    warmup: { length: 4, startFactor: 0.1 },
  },
} satisfies Partial<ConfigInput["train"]>;

Deno.test("workers and accumulation don't change what AdamW, weights, clipping and averages give", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const one = await sharedRun({ train: { ...RICH } });
    for (const [workers, accumulationSteps] of [[2, 1], [1, 3], [2, 2]]) {
      const other = await trained(root, { workers, train: { ...RICH, accumulationSteps } });
      const difference = relativeDifference(other.model, one.model);
      assert.ok(
        difference <= 1e-4,
        `${workers} workers, ${accumulationSteps} parts: ${difference}`,
      );
      other.history.epochs.forEach(({ train, validation }, epoch) => {
        const expected = one.history.epochs[epoch];
        assert.ok(Math.abs(train.loss - expected.train.loss) < 1e-4);
        assert.ok(Math.abs(validation.loss - expected.validation.loss) < 1e-4);
      });
    }
    assert.deepEqual(Object.keys(one.sha256), [
      "model.safetensors",
      "optimizer.safetensors",
      "averages.safetensors",
    ]);
    const [first, last] = [one.history.epochs[0], one.history.epochs[EPOCHS - 1]];
    assert.ok(last.train.loss < first.train.loss, "it learns");
  }));

Deno.test("a run that stops within an epoch goes on to the same bits, averages and validations too", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const validate = { everySteps: 2, atStart: true };
    const changes = { workers: 2, validate, train: { ...RICH, epochs: 3 } };
    const whole = await trained(root, changes);
    const stop = new AbortController();
    const config = tinyConfig(root, changes);
    let stopped = "";
    const reporter = {
      ...silentReporter(),
      info: (line: string) => {
        stopped = /^Run folder: (.*)/.exec(line)?.[1] ?? stopped;
        if (line.startsWith("epoch 2, step 2/3")) {
          stop.abort(new InterruptedError("Enough", "SIGINT"));
        }
      },
    };
    await assert.rejects(train(config, { reporter, signal: stop.signal }), /Enough/);
    const between = await lastState(stopped);
    assert.ok(between.epoch === 2 && between.step >= 2, "it stopped within the second epoch");
    const { history } = await train(config, { resume: stopped });
    assert.deepEqual((await lastState(stopped)).sha256, whole.sha256);
    assert.deepEqual(history.validations, whole.history.validations);
    assert.deepEqual(
      history.losses.map(({ examples }) => examples),
      whole.history.losses.map((point) => point.examples),
    );
  }));

Deno.test("mixed images and labels are the same for any number of workers", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const { data } = tinyConfig(root);
    const plain = await sharedRun({ train: { epochs: 3 } });
    const mixed = { data: { ...data, mix: [{ MixUp: 1 }, "CutMix"] }, train: { epochs: 3 } };
    const one = await trained(root, mixed);
    assert.ok(relativeDifference(one.model, plain.model) > 1e-3, "mixing changes what is learnt");
    const two = await trained(root, { ...mixed, workers: 2 });
    const difference = relativeDifference(two.model, one.model);
    assert.ok(difference <= 1e-5, `they differ by ${difference}`);
  }));

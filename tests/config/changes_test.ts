import assert from "node:assert/strict";
import { UsageError } from "../../src/base/errors.ts";
import { configChanges, refuseChanges } from "../../src/config/changes.ts";
import { validateConfig } from "../../src/config/load.ts";
import type { Config, ConfigInput } from "../../src/config/schema.ts";

function config(changes: Partial<ConfigInput> = {}): Config {
  return validateConfig({
    model: { name: "plain_cnn", weights: "none" },
    data: { root: "a", train: [{ CenterCrop: 20 }], val: [{ CenterCrop: 20 }] },
    ...changes,
    workers: changes.workers ?? 2,
    train: { epochs: 2, batchSize: 8, lr: 0.1, ...changes.train },
  });
}

/** As a checkpoint keeps it. */
const kept = (config: Config) => JSON.parse(JSON.stringify(config));

function refusal(after: Config, overridden: string[] = [], before = config()): string {
  try {
    const changes = configChanges(kept(before), after);
    refuseChanges(changes, kept(before), after, { overridden, where: "last" });
    return "";
  } catch (error) {
    assert.ok(error instanceof UsageError);
    return error.message;
  }
}

Deno.test("configChanges() names keys with both values, and none for what is alike", () => {
  const before = config({ train: { epochs: 2, batchSize: 8, classWeights: { a: 1, b: 2 } } });
  assert.deepEqual(configChanges(kept(before), before), []);
  const after = config({
    seed: 3,
    train: { epochs: 2, batchSize: 8, classWeights: { b: 2, a: 1, "a.b": 4 }, clipGradNorm: 1 },
  });
  assert.deepEqual(configChanges(kept(before), after).sort((a, b) => a.key < b.key ? -1 : 1), [
    { key: "seed", before: 0, after: 3 },
    { key: "train.classWeights.a.b", before: null, after: 4 },
    { key: "train.clipGradNorm", before: null, after: 1 },
  ]);
});

Deno.test("configChanges() gives an older config the defaults of keys that came later", () => {
  const { prefetch: _, ...data } = kept(config()).data;
  assert.deepEqual(configChanges({ ...kept(config()), data }, config()), []);
});

Deno.test("refuseChanges() lets pass where a run runs, who watches, more epochs, and what is overridden", () => {
  const after = config({
    workers: 4,
    nats: { port: 4222 },
    dashboard: true,
    liveness: { lostAfter: 20 },
    loggers: { tensorboard: false },
    data: { ...config().data, root: "b", onError: "skip" },
    train: { epochs: 3, lr: 0.2 },
  } as Partial<ConfigInput>);
  assert.equal(refusal(after, ["train.lr"]), "");
  assert.equal(refusal(after, ["train"]), "");
  assert.equal(
    refusal(after),
    "The config differs from that of last: train.lr is 0.2, was 0.1: set it back, or accept what becomes a mixed " +
      "run with --override train.lr=0.2",
  );
});

for (
  const [key, change] of Object.entries<Partial<ConfigInput>>({
    seed: { seed: 1 },
    name: { name: "other" },
    "train.momentum": { train: { epochs: 2, momentum: 0.5 } },
    "train.labelSmoothing": { train: { epochs: 2, labelSmoothing: 0.1 } },
    "train.epochs": { train: { epochs: 1 } },
    "nats.gradientDtype": { nats: { gradientDtype: "bfloat16" } },
    "data.train": { data: { ...config().data, train: [{ CenterCrop: 18 }] } },
    "train.schedule.etaMin": {
      train: { epochs: 2, schedule: { name: "CosineAnnealingLR", etaMin: 0.01 } },
    },
  })
) {
  Deno.test(`refuseChanges() refuses another ${key}, and accepts it with --override`, () => {
    const message = refusal(config(change));
    assert.match(message, new RegExp(`${key} is .*, was `));
    assert.ok(message.includes("--override "), message);
    const keys = configChanges(kept(config()), config(change)).map(({ key }) => key);
    assert.ok(keys.includes(key), String(keys));
    assert.equal(refusal(config(change), keys), "");
  });
}

Deno.test("refuseChanges() refuses another global batch, and says why it is another", () => {
  const perWorker = (workers: number, each = 4) =>
    config({ workers, train: { epochs: 2, batchSize: undefined, batchSizePerWorker: each } });
  assert.equal(
    refusal(perWorker(4), [], perWorker(2)),
    "With 4 workers in the place of 2, train.batchSizePerWorker (4) makes the global batch 16, but the run was " +
      "trained with 8: give --workers 2, or --override train.batchSizePerWorker=2",
  );
  assert.match(refusal(perWorker(3), [], perWorker(2)), /give --workers 2$/);
  assert.equal(refusal(perWorker(4, 2), ["train.batchSizePerWorker"], perWorker(2)), "");
  assert.match(
    refusal(config({ train: { epochs: 2, batchSize: 16 } }), ["train.batchSize"]),
    /The global batch is 16, but the run was trained with 8, in which its steps are counted/,
  );
});

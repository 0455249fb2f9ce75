import assert from "node:assert/strict";
import { join } from "node:path";
import { InterruptedError, train } from "../../mod.ts";
import { UsageError } from "../../src/base/errors.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { silentReporter } from "../../src/events/reporter.ts";
import { makeImages, transformsFor } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState, tinyConfig } from "../support/tiny_run.ts";

const EPOCHS = 3;

type Changes = Parameters<typeof tinyConfig>[1];
type Cache = NonNullable<ConfigInput["train"]["featureCache"]>;

/** The networks, and what of each learns. */
const NETWORKS = {
  plain_cnn: { learns: ["fc.*"], side: 20 },
  squeezenet1_1: { learns: ["classifier.1.*"], side: 32 },
  efficientnet_lite0: { learns: ["classifier.1.*"], side: 32, stochasticDepth: 0 },
} as const;

/** A run with a frozen body and images that are the same in each epoch. */
function frozenConfig(
  root: string,
  name: keyof typeof NETWORKS,
  featureCache: Cache,
  changes: Changes = {},
): ConfigInput {
  const { learns, side, ...rates } = NETWORKS[name];
  const transforms = transformsFor(side);
  return tinyConfig(root, {
    model: { name, weights: "none", train: [...learns], ...rates },
    data: { root, train: transforms, val: transforms },
    ...changes,
    train: { epochs: EPOCHS, ...changes.train, featureCache },
  });
}

async function run(config: ConfigInput) {
  const lines: string[] = [];
  const reporter = { ...silentReporter(), info: (line: string) => void lines.push(line) };
  const { folder, history } = await train(config, { reporter });
  const { sha256 } = await lastState(folder);
  const best = JSON.parse(
    await Deno.readTextFile(join(folder, "checkpoints", "best", "checkpoint.json")),
  );
  const { losses, validations } = history;
  const epochs = history.epochs.map(({ train, validation }) => ({ train, validation }));
  const predictions = await Deno.readTextFile(join(folder, "predictions.csv"));
  const kept = lines.filter((line) => /keeps? the features/.test(line));
  const results = {
    sha256,
    best: [best.sha256, best.accuracy],
    losses,
    validations,
    epochs,
    predictions,
  };
  return { results, kept };
}

/** The images of the runs that several tests compare with, and these runs, each made once. */
const shared = { folder: "", runs: new Map<number, ReturnType<typeof run>>() };

Deno.test.beforeAll(async () => {
  shared.folder = await Deno.makeTempDir({ prefix: "lockstep-features-" });
  await makeImages(join(shared.folder, "images"));
});

Deno.test.afterAll(async () => {
  await Deno.remove(shared.folder, { recursive: true });
});

/** A run of plain_cnn that keeps no features, made at the first use. */
function plainRun(workers: number): ReturnType<typeof run> {
  const root = join(shared.folder, "images");
  const made = shared.runs.get(workers) ??
    run(frozenConfig(root, "plain_cnn", false, { workers }));
  shared.runs.set(workers, made);
  return made;
}

for (const name of ["plain_cnn", "squeezenet1_1", "efficientnet_lite0"] as const) {
  Deno.test(`kept features of ${name} change no bit of a run`, () =>
    withTemporaryFolder(async (folder) => {
      const root = join(folder, "images");
      await makeImages(root, { side: NETWORKS[name].side });
      for (const workers of [1, 2]) {
        const plain = name === "plain_cnn"
          ? await plainRun(workers)
          : await run(frozenConfig(root, name, false, { workers }));
        const cached = await run(frozenConfig(root, name, true, { workers }));
        assert.deepEqual(cached.results, plain.results, `${workers} workers`);
        assert.equal(plain.kept.length, 0);
        if (workers === 1) {
          assert.equal(cached.kept.length, 1, "nothing new after the first epoch");
          assert.match(cached.kept[0], /^1 worker keeps the features of 21 training and 9 /);
        } else {
          assert.match(cached.kept[0], /^2 workers keep the features of 21 training and 9 /);
          assert.ok(cached.kept.length > 1, "each worker keeps what it sees");
        }
      }
    }));
}

Deno.test("kept features change no bit where a worker has a single row, parts, averages and dropout", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { side: 32 });
    // 21 images in batches of 9: the last three are one for each worker.
    const changes = {
      workers: 3,
      validate: { everySteps: 2 },
      train: {
        batchSize: 9,
        accumulationSteps: 2,
        ema: { decay: 0.8 },
        classWeights: [1, 2, 3],
        optimizer: "adamw" as const,
      },
    };
    const plain = await run(frozenConfig(root, "efficientnet_lite0", false, changes));
    const cached = await run(frozenConfig(root, "efficientnet_lite0", true, changes));
    assert.deepEqual(cached.results, plain.results);
  }));

Deno.test("a run that keeps some of the features only comes to the same bits, within its bytes", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const plain = await plainRun(1);
    const few = { maxBytes: 12 * 64 * 4 + 100 }; // 64 features each
    const cached = await run(frozenConfig(root, "plain_cnn", few));
    assert.deepEqual(cached.results, plain.results);
    assert.deepEqual(cached.kept, [
      "1 worker keeps the features of 12 training and 0 validation images: 3.1 kB, of at most 3.2 kB",
    ]);
  }));

Deno.test("a run with kept features that stops within an epoch goes on to the same bits", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const whole = await plainRun(2);
    const config = frozenConfig(root, "plain_cnn", true, {
      workers: 2,
      validate: { everySteps: 2 },
    });
    const stop = new AbortController();
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
    assert.deepEqual((await lastState(stopped)).sha256, whole.results.sha256);
    assert.deepEqual(
      history.epochs.map(({ train, validation }) => ({ train, validation })),
      whole.results.epochs,
    );
  }));

Deno.test("train() refuses to keep features that change, before it starts, and names the cure", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { side: 32 });
    const plain = frozenConfig(root, "plain_cnn", true);
    const { data } = plain;
    const efficient = frozenConfig(root, "efficientnet_lite0", true);
    const cases: [ConfigInput, RegExp][] = [
      [
        { ...plain, data: { ...data, train: ["RandomHorizontalFlip", ...data.train] } },
        /data\.train has RandomHorizontalFlip, .* use transforms such as Resize and CenterCrop/,
      ],
      [{ ...plain, data: { ...data, mix: ["CutMix"] } }, /data\.mix .* remove data\.mix/],
      [
        { ...plain, model: { name: "plain_cnn", weights: "none" } },
        /conv1\.weight learns: set model\.featureExtract to true/,
      ],
      [
        { ...efficient, model: { ...efficient.model, freezeBatchNorm: false } },
        /BatchNorm layer features\.0\.1 runs in training mode: set model\.freezeBatchNorm to true/,
      ],
      [
        { ...efficient, model: { ...efficient.model, stochasticDepth: 0.2 } },
        /features\.2\.1\.drop drops at random: set model\.stochasticDepth/,
      ],
    ];
    for (const [config, message] of cases) {
      await assert.rejects(
        train(config),
        (error: Error) => error instanceof UsageError && message.test(error.message),
        String(message),
      );
    }
    await assert.rejects(Deno.stat(join(folder, "runs")), Deno.errors.NotFound);
  }));

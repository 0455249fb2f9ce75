import assert from "node:assert/strict";
import { join } from "node:path";
import { InterruptedError, train, UsageError } from "../../mod.ts";
import { checkConfig, globalBatchSize } from "../../src/config/checks.ts";
import { loadConfig, validateConfig } from "../../src/config/load.ts";
import { type Config, type ConfigInput, withWorkers } from "../../src/config/schema.ts";
import { checkSingleValues } from "../../src/coordinator/preparation/check_single_values.ts";
import { planEpoch } from "../../src/data/loading/sampler.ts";
import { openEngine } from "../../src/engine/engine.ts";
import type { ModelName } from "../../src/models/registry.ts";
import { createModel } from "../../src/models/create_model.ts";
import { readSource } from "../../src/export/source.ts";
import { lockstepFile } from "../../src/export/weight_files.ts";
import { DATASETS } from "../../src/provision/dataset_catalogue.ts";
import { silentReporter } from "../../src/events/reporter.ts";
import { readCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { RunPlan } from "../../src/train/run_plan.ts";
import { decodeSafetensors } from "../../src/weights/safetensors.ts";
import { toFloat32 } from "../../src/weights/torch_tensor.ts";
import { batchNormModel } from "../support/batch_norm_module.ts";
import { makeImages, transformsFor } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState, relativeDifference, tinyConfig } from "../support/tiny_run.ts";

/** Values under the names of a run's last checkpoint. */
async function tensorsOf(run: string) {
  const { model, info } = await readCheckpoint(join(run, "checkpoints", "last"));
  const statistics = [...model].filter(([name]) => name.includes(".running_"));
  const counts = [...model].filter(([name]) => name.endsWith(".num_batches_tracked"));
  return {
    info,
    statistics: Float32Array.from(statistics.flatMap(([, tensor]) => [...toFloat32(tensor)])),
    batches: [...new Set(counts.map(([, tensor]) => toFloat32(tensor)[0]))],
  };
}

/** The plan of a run on so many training samples. */
function planOf(config: Config, samples: number): RunPlan {
  return new RunPlan(config, { train: { length: samples }, val: { length: 0 } });
}

Deno.test("checkSingleValues() refuses what leaves an image by itself, and names what helps", async () => {
  await openEngine();
  const check = (
    samples: number,
    change: Partial<ConfigInput["train"]>,
    { workers = 1, side = 32, frozen = false } = {},
  ) => {
    const config = validateConfig(tinyConfig("/images", {
      workers,
      model: { name: "resnet18", weights: "none" },
      data: { root: "/images", train: transformsFor(side), val: transformsFor(side) },
      train: { batchSize: 8, ...change },
    }));
    const model = createModel("resnet18", { numClasses: 3, seed: 1, freezeBatchNorm: frozen });
    try {
      checkSingleValues(config, model, planOf(config, samples));
    } catch (error) {
      assert.ok(error instanceof UsageError);
      return error.message;
    } finally {
      model.dispose();
    }
  };
  assert.equal(
    check(17, {}),
    "BatchNorm layer layer4.0.downsample.1 would have one value per channel, which has no variance: its map is 1 × 1 " +
      "and the last step of an epoch has 1 image (17 images, batch size 8), so that one image is computed by itself. " +
      "Set train.dropLast to true, train.batchSize to 7 or 9, or model.freezeBatchNorm to true",
  );
  for (
    const [samples, change, options] of [
      [17, { dropLast: true }],
      [18, {}],
      [16, {}],
      [17, {}, { side: 64 }],
      [17, {}, { frozen: true }],
      [20, { batchSize: 10 }, { workers: 2 }],
      [6, { batchSize: 6, accumulationSteps: 3 }],
    ] as const
  ) assert.equal(check(samples, change, options), undefined, JSON.stringify([samples, change]));
  const shares = check(19, {}, { workers: 2 });
  assert.match(
    shares!,
    /has 3 images \(19 images, batch size 8\), a share of 1 image for one of 2 workers/,
  );
  assert.match(
    shares!,
    /train\.dropLast to true, train\.batchSize to 10, workers to 1, train\.syncBatchNorm to true, or model/,
  );
  assert.equal(check(19, { syncBatchNorm: true }, { workers: 2 }), undefined, "3 images over both");
  assert.match(
    check(17, { syncBatchNorm: true }, { workers: 2 })!,
    /the last step of an epoch has 1 image \(17 images, batch size 8\), so that one image/,
  );
  const parts = check(16, { accumulationSteps: 8 });
  assert.match(parts!, /a step has 8 images, computed in parts, as train\.accumulationSteps is 8/);
  assert.match(parts!, /Set train\.accumulationSteps to 4, train\.batchSize to 16, or/);
  assert.doesNotMatch(parts!, /dropLast/, "which doesn't help");
  const micro = check(16, { microBatchSize: 1 });
  assert.match(micro!, /a step has 8 images, computed in parts, as train\.microBatchSize is 1/);
  assert.match(micro!, /Set train\.microBatchSize to 2, or model\.freezeBatchNorm to true$/);
  // 7 images in parts of 2, 2, 2 and 1; of 3, 2 and 2.
  assert.match(
    check(14, { batchSize: 7, microBatchSize: 2 })!,
    /Set train\.microBatchSize to 3, train\.batchSize to 6 or 8, or/,
  );
  assert.equal(check(14, { batchSize: 7, microBatchSize: 3 }), undefined);
  const perWorker = check(16, { batchSize: undefined, batchSizePerWorker: 1 }, { workers: 4 });
  assert.match(
    perWorker!,
    /a share of 1 image for one of 4 workers.*train\.batchSizePerWorker to 2, train\.syncBatchNorm to true, or/,
  );
});

Deno.test("checkSingleValues() refuses no recipe with maps of 1 × 1 on its real data set, on 1, 2 and 4 workers", async () => {
  await openEngine();
  const configs = new URL("../../configs/", import.meta.url).pathname;
  // The models whose maps may be 1 × 1: those for small images, and Inception's auxiliary head.
  for (const name of ["cifar10-resnet18", "finetune-inception_v3"]) {
    const path = join(configs, `${name}.yaml`);
    const first = await loadConfig(path);
    const model = createModel(first.model.name as ModelName, { numClasses: 2, seed: 1 });
    for (const workers of [1, 2, 4]) {
      const config = withWorkers(await loadConfig(path), workers);
      checkSingleValues(config, model, planOf(config, DATASETS[config.data.dataset!].train));
    }
    model.dispose();
  }
});

Deno.test("train.dropLast leaves out the smaller step in any epoch, also of a run that stops and goes on", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { classes: ["a", "b"], train: 9, val: 2 });
    await Deno.remove(join(root, "train/b/8.jpg")); // 17
    const model = await batchNormModel(folder);
    const config = (change: Partial<ConfigInput["train"]>, workers = 1) =>
      tinyConfig(root, {
        model,
        workers,
        train: {
          batchSize: 4,
          dropLast: true,
          epochs: 2,
          logEverySteps: 1,
          schedule: { name: "CosineAnnealingLR", per: "step" },
          ...change,
        },
      });
    await assert.rejects(
      train(config({ dropLast: false })),
      /BatchNorm layer bn2 .*\(17 images, batch size 4\)/,
    );
    await assert.rejects(
      train(config({ batchSize: 18 })),
      /dropLast .* the only one: there are 17/,
    );
    const whole = await train(config({ accumulationSteps: 2 }));
    const { info, batches } = await tensorsOf(whole.folder);
    const exported = decodeSafetensors(lockstepFile(await readSource(whole.folder, "last")), "it");
    for (const name of ["bn1", "bn2"]) {
      const { dtype, shape, data } = exported.tensors.get(`${name}.num_batches_tracked`)!;
      assert.deepEqual([dtype, shape, data[0]], ["int64", [], 16], "in an exported file");
    }
    assert.deepEqual([info.optimizerSteps, info.step, info.train.count], [8, 4, 16]);
    assert.deepEqual(batches, [16], "two parts in each of 8 steps");
    assert.deepEqual(
      whole.history.losses.map(({ examples }) => examples),
      Array.from({ length: 8 }, (_, index) => 4 * (index + 1)),
    );

    const stop = new AbortController();
    let stopped = "";
    const reporter = {
      ...silentReporter(),
      info: (line: string) => void (stopped = /^Run folder: (.*)/.exec(line)?.[1] ?? stopped),
    };
    const onStep = ({ epoch, step }: { epoch: number; step: number }) => {
      if (epoch === 2 && step === 2) stop.abort(new InterruptedError("Enough", "SIGINT"));
    };
    const again = config({ accumulationSteps: 2 });
    await assert.rejects(train(again, { reporter, onStep, signal: stop.signal }), /Enough/);
    assert.ok((await lastState(stopped)).step < 4, "it stopped within the epoch");
    await train(again, { resume: stopped });
    assert.deepEqual((await lastState(stopped)).sha256, (await lastState(whole.folder)).sha256);

    // A resume is never refused: the image that is by itself is left out.
    const warnings: string[] = [];
    const warning = { ...silentReporter(), warn: (line: string) => void warnings.push(line) };
    await train(config({ accumulationSteps: 2, dropLast: false, epochs: 3 }), {
      ...{ resume: whole.folder, overridden: ["train.dropLast"], reporter: warning },
    });
    assert.deepEqual((await tensorsOf(whole.folder)).batches, [24], "of 5 steps 4, in two parts");
    assert.ok(warnings.some((line) => line.includes("1 step of epoch 3: 1 image")), "it is said");
  }));

Deno.test("train.syncBatchNorm: runs of 1 and 3 workers end alike, also where some have no rows", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { classes: ["a", "b"], train: 6, val: 2 });
    const model = await batchNormModel(folder);
    const run = async (
      workers: number,
      exchange: "shared-memory" | "nats",
    ) => {
      const config = tinyConfig(root, {
        model,
        workers,
        exchange,
        nats: { bucketSize: 64 },
        train: { batchSize: 5, epochs: 2, syncBatchNorm: true },
      });
      const { folder, history } = await train(config, { reporter: silentReporter() });
      const { model: tensors } = await readCheckpoint(join(folder, "checkpoints", "last"));
      return {
        values: Float32Array.from([...tensors.values()].flatMap((own) => [...toFloat32(own)])),
        losses: history.losses.map(({ loss }) => loss),
      };
    };
    const alone = await run(1, "shared-memory");
    for (const exchange of ["shared-memory", "nats"] as const) {
      const together = await run(3, exchange);
      assert.ok(relativeDifference(together.values, alone.values) < 1e-5, exchange);
      together.losses.forEach((loss, at) =>
        assert.ok(Math.abs(loss - alone.losses[at]) < 1e-5, `${exchange}: ${loss}`)
      );
    }
  }));

Deno.test("train.syncBatchNorm names the engine's keys that it doesn't go with", () => {
  const check = (workers: number, engine: ConfigInput["engine"]) =>
    checkConfig(validateConfig(tinyConfig("/images", {
      workers,
      engine,
      train: { batchSize: 8, syncBatchNorm: true },
    })));
  for (
    const [engine, cure] of [
      [{ capture: false }, "engine.capture is false: set engine.capture to true"],
      [{ xla: true }, "engine.xla compiles a step as a whole: set engine.xla to false"],
      [
        { precision: "bfloat16" },
        "engine.precision is bfloat16: set engine.precision to float32 or tf32",
      ],
      [
        { precision: "float16" },
        "engine.precision is float16: set engine.precision to float32 or tf32",
      ],
    ] as const
  ) {
    assert.throws(() => check(2, engine), {
      name: "UsageError",
      message:
        `train.syncBatchNorm lets moments meet in the midst of a captured step, but ${cure}, or ` +
        "train.syncBatchNorm to false",
    });
    check(1, engine);
  }
  check(2, {});
});

Deno.test("an image that a skipped one leaves by itself is left out of the running statistics, and said", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { classes: ["a", "b"], train: 5, val: 2 });
    await Deno.writeTextFile(join(root, "train/b/4.jpg"), "no image");
    const model = await batchNormModel(folder);
    // The unreadable image, the tenth, is one of the two in the last step.
    const plan = { length: 10, globalBatch: 4, rank: 0, worldSize: 1, epoch: 1, shuffle: true };
    const isLast = (seed: number) => planEpoch({ ...plan, seed })[2].indices.includes(9);
    const seed = Array.from({ length: 50 }, (_, index) => index).find(isLast)!;
    const warnings: string[] = [];
    const reporter = { ...silentReporter(), warn: (line: string) => void warnings.push(line) };
    const states = [];
    for (const dropLast of [false, true]) {
      const config = tinyConfig(root, {
        model,
        seed,
        data: { ...tinyConfig(root).data, onError: "skip" },
        train: { batchSize: 4, epochs: 1, lr: 0, dropLast },
      });
      const { folder: run } = await train(config, { reporter });
      const events = (await Deno.readTextFile(join(run, "events.jsonl"))).trim().split("\n")
        .map((line) => JSON.parse(line)).filter(({ type }) => type === "statisticsLeftOut");
      states.push({ ...await tensorsOf(run), events });
    }
    const [skipped, dropped] = states;
    assert.deepEqual(skipped.statistics, dropped.statistics, "the same without the last step");
    assert.deepEqual([skipped.batches, dropped.batches], [[2], [2]]);
    assert.deepEqual([skipped.info.optimizerSteps, dropped.info.optimizerSteps], [3, 2]);
    const said = warnings.filter((line) => line.startsWith("BatchNorm"));
    assert.deepEqual(said, [
      "BatchNorm had one value per channel in 1 step of epoch 1: 1 image, each computed by itself, left out of the " +
      "running statistics",
    ]);
    const [{ epoch, steps, samples }] = skipped.events;
    assert.deepEqual({ epoch, steps, samples }, { epoch: 1, steps: 1, samples: 1 });
    assert.deepEqual(dropped.events, []);
  }));

Deno.test("class weights change neither running statistics nor, where they are 0 in a whole step, parameters", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { train: 6, val: 2 });
    const model = await batchNormModel(folder);
    const run = async (change: Partial<ConfigInput>, own: Partial<ConfigInput["train"]>) => {
      const config = tinyConfig(root, {
        ...{ model, workers: 3, exchange: "shared-memory", ...change },
        train: { batchSize: 9, epochs: 1, lr: 0, ...own },
      });
      const { folder, history } = await train(config);
      return { ...await tensorsOf(folder), ...await lastState(folder), history };
    };
    const plain = await run({}, {});
    for (const exchange of ["shared-memory", "nats"] as const) {
      const weighted = await run({ exchange }, { classWeights: [0.2, 3, 1] });
      assert.deepEqual(weighted.statistics, plain.statistics, exchange);
    }
    assert.ok(new Set(plain.statistics).size > 8, "they are not as they began");
    // Nor do the shares of a mixed label, in buckets that leave one by one.
    const data = { ...tinyConfig(root).data, mix: [{ MixUp: 0.4 }, { CutMix: 1 }] };
    const mixed = await run({ data }, {});
    const buckets = { data, exchange: "nats", nats: { bucketSize: 64 } } as const;
    const weights = { dark: 0, light: 3 };
    const weighted = await run(buckets, { classWeights: weights });
    assert.notDeepEqual(mixed.statistics, plain.statistics);
    assert.deepEqual(weighted.statistics, mixed.statistics);

    // Steps of two samples, many of which have no sample of the only class that counts.
    const zero = { classWeights: { dark: 0, light: 0 }, batchSize: 2, lr: 0.05, dropLast: false };
    const own = { model: { name: "plain_cnn", weights: "none" } } as const;
    const [one, two, nats] = [
      await run({ ...own, workers: 1 }, zero),
      await run({ ...own, workers: 2 }, zero),
      await run({ ...own, workers: 2, exchange: "nats" }, zero),
    ];
    const plan = planEpoch({
      ...{ length: 18, globalBatch: 2, rank: 0, worldSize: 1, seed: 0, epoch: 1, shuffle: true },
    });
    const learning = plan.filter(({ indices }) => indices.some((index) => index >= 12)).length;
    assert.ok(learning < plan.length, "some steps have none");
    assert.deepEqual([one, two, nats].map(({ info }) => info.optimizerSteps), [
      ...[learning, learning, learning],
    ]);
    assert.deepEqual(two.sha256, nats.sha256);
    assert.ok(relativeDifference(two.model, one.model) < 1e-5);
    assert.ok(one.history.losses.length > 0);
    for (const { loss } of one.history.losses) assert.ok(Number.isFinite(loss));
    await assert.rejects(
      run(own, { classWeights: [0, 0, 0] }),
      /0 for every class that has training/,
    );
  }));

Deno.test("globalBatchSize() is what train.dropLast counts by, for any number of workers", () => {
  const config = validateConfig(tinyConfig("/p", {
    workers: 2,
    train: { batchSize: undefined, batchSizePerWorker: 4, dropLast: true },
  }));
  const { dropLast } = config.train;
  const plans = [0, 1].map((rank) =>
    planEpoch({
      ...{ length: 17, globalBatch: globalBatchSize(config), rank, worldSize: 2, seed: 1 },
      ...{ epoch: 1, shuffle: true, dropLast },
    })
  );
  assert.deepEqual(plans.map((plan) => plan.map(({ indices }) => indices.length)), [[4, 4], [
    4,
    4,
  ]]);
});

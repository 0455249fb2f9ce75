import assert from "node:assert/strict";
import { join } from "node:path";
import {
  createModel,
  evaluate,
  loadCheckpoint,
  loadTorchWeights,
  train,
  UsageError,
} from "../mod.ts";
import { openEngine } from "../src/engine/engine.ts";
import { CIFAR_CLASSES, makeCifar } from "./support/cifar.ts";
import { makeImages, transformsFor } from "./support/images.ts";
import { withTemporaryFolder } from "./support/temporary_folder.ts";

const CLASSES = ["dark", "light"];
const SIDE = 24;

const TRANSFORMS = transformsFor(SIDE);

Deno.test("train(), loadCheckpoint() and evaluate() agree on what was learned", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { classes: CLASSES, train: 8, val: 3, side: SIDE });
    const { folder: run, history } = await train({
      name: "api",
      out: join(folder, "runs"),
      workers: 2,
      model: { name: "plain_cnn", weights: "none" },
      data: { root, train: TRANSFORMS, val: TRANSFORMS },
      train: { epochs: 3, batchSize: 8, lr: 0.02 },
    });
    assert.equal(history.epochs.length, 3);
    assert.equal(history.workers, 2);
    await openEngine();
    const best = await loadCheckpoint(join(run, "checkpoints", "best"));
    assert.deepEqual(best.classes, CLASSES);
    const result = await evaluate(best.model, root, { transforms: TRANSFORMS, batchSize: 4 });
    const recorded = history.epochs[history.best.epoch - 1].validation;
    assert.equal(result.count, 6);
    assert.equal(result.accuracy, recorded.accuracy);
    assert.ok(Math.abs(result.loss - recorded.loss) < 1e-5);
    assert.deepEqual(result.confusion, history.best.confusionMatrix);

    const model = createModel("plain_cnn", { numClasses: 2 });
    await loadTorchWeights(model, join(run, "checkpoints", "best", "model.safetensors"));
    const again = await evaluate(model, root, { transforms: TRANSFORMS });
    assert.ok(Math.abs(again.loss - result.loss) < 1e-6);
  }));

Deno.test("train() leaves no tensor behind in the process that calls it", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { classes: CLASSES, train: 2, val: 1, side: SIDE });
    const { runtime } = await openEngine();
    const counts: number[] = [];
    for (let round = 0; round < 2; round++) {
      await train({
        name: "leak",
        out: join(folder, "runs"),
        workers: 1,
        model: { name: "plain_cnn", weights: "none" },
        data: { root, train: TRANSFORMS, val: TRANSFORMS },
        train: { epochs: 1, batchSize: 4 },
      });
      counts.push(runtime.tensorCount);
    }
    assert.equal(counts[1], counts[0]);
  }));

Deno.test("train() refuses a config with an unknown key before anything starts", async () => {
  const config = { model: { name: "plain_cnn" }, data: { rot: "x" }, train: { epochs: 1 } };
  await assert.rejects(
    train(config as unknown as Parameters<typeof train>[0]),
    (error: Error) => error instanceof UsageError && /data\.rot.*root/s.test(error.message),
  );
});

Deno.test("evaluate() refuses a model with another number of classes", () =>
  withTemporaryFolder(async (folder) => {
    await makeImages(folder, { classes: CLASSES, side: SIDE });
    await openEngine();
    const model = createModel("plain_cnn", { numClasses: 5 });
    await assert.rejects(evaluate(model, folder), /The model has 5 classes, but .* has 2/);
  }));

Deno.test("evaluate() scores CIFAR-10's test batch and leaves no file open", () =>
  withTemporaryFolder(async (folder) => {
    const { root } = await makeCifar(folder, { perBatch: 23 });
    await openEngine();
    const model = createModel("plain_cnn", { numClasses: 10 });
    const transforms = transformsFor(32);
    const result = await evaluate(model, root, { format: "cifar10", transforms, batchSize: 10 });
    assert.equal(result.count, 23);
    assert.deepEqual(result.perClass.map((entry) => entry.class), CIFAR_CLASSES);
    const part = { format: "cifar10", split: "train", transforms } as const;
    assert.equal((await evaluate(model, root, part)).count, 5 * 23);
  }));

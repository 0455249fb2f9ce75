import assert from "node:assert/strict";
import { join } from "node:path";
import { Image } from "imagescript";
import {
  createModel,
  evaluate,
  loadCheckpoint,
  loadTorchWeights,
  openEngine,
  train,
  UsageError,
} from "../mod.ts";

const CLASSES = ["dark", "light"];
const SIDE = 24;

/** A folder of dark and light pictures: something that a small network learns at once. */
async function makePictures(root: string): Promise<void> {
  for (const [split, count] of [["train", 8], ["val", 3]] as const) {
    for (const [label, name] of CLASSES.entries()) {
      await Deno.mkdir(join(root, split, name), { recursive: true });
      for (let index = 0; index < count; index++) {
        const image = new Image(SIDE, SIDE);
        const shade = label * 160 + 10 * index;
        image.fill((x, y) => Image.rgbToColor(shade, (shade + x) % 256, (shade + y) % 256));
        await Deno.writeFile(join(root, split, name, `${index}.jpg`), await image.encodeJPEG(90));
      }
    }
  }
}

const TRANSFORMS = [{ CenterCrop: SIDE }, {
  Normalize: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
}];

Deno.test("train(), loadCheckpoint() and evaluate() agree on what was learned", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const root = join(folder, "pictures");
    await makePictures(root);
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
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("train() refuses a config with an unknown key before anything starts", async () => {
  const config = { model: { name: "plain_cnn" }, data: { rot: "x" }, train: { epochs: 1 } };
  await assert.rejects(
    train(config as unknown as Parameters<typeof train>[0]),
    (error: Error) => error instanceof UsageError && /data\.rot.*root/s.test(error.message),
  );
});

Deno.test("evaluate() refuses a model with another number of classes", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await makePictures(folder);
    await openEngine();
    const model = createModel("plain_cnn", { numClasses: 5 });
    await assert.rejects(evaluate(model, folder), /The model has 5 classes, but .* has 2/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

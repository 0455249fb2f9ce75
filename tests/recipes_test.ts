import assert from "node:assert/strict";
import { join } from "node:path";
import { loadConfig } from "../src/config/load.ts";
import type { Override } from "../src/config/override.ts";
import { train } from "../src/coordinator/run.ts";
import { openEngine } from "../src/engine/engine.ts";
import { tf } from "../src/engine/tf.ts";
import { createModel } from "../src/models/create_model.ts";
import type { ModelName } from "../src/models/registry.ts";
import { parametersOf } from "../src/models/parameters.ts";
import { datasetFolder } from "../src/provision/datasets.ts";
import { stateOf } from "../src/train/load_weights.ts";
import { encodeSafetensors } from "../src/weights/safetensors.ts";
import { makeCifar } from "./support/cifar.ts";
import { withTemporaryFolder } from "./support/temporary_folder.ts";

const CONFIGS = new URL("../configs/", import.meta.url).pathname;

/** Changes that make a recipe short. */
interface Cut {
  /** `made`: weights of a seeded network of 1000 classes, as if published; `none`: from scratch. */
  readonly weights: "made" | "none" | "own";
  readonly data: "photos" | "cifar" | "own";
  readonly set?: readonly Override[];
}

const few: readonly Override[] = [
  { key: "model.train", value: ["classifier.6.*"] },
  { key: "workers", value: 1 },
];

/** Every recipe in configs/. The two largest networks learn in their last layer and on one worker only: time. */
const RECIPES: Record<string, Cut> = {
  "default": { weights: "own", data: "own" },
  "hymenoptera-finetune": { weights: "made", data: "photos" },
  "hymenoptera-extract": { weights: "made", data: "photos" },
  "finetune-resnet18": { weights: "made", data: "photos" },
  "finetune-alexnet": { weights: "none", data: "photos", set: few },
  "finetune-vgg11_bn": { weights: "none", data: "photos", set: few },
  "finetune-squeezenet1_0": { weights: "made", data: "photos" },
  "finetune-densenet121": { weights: "made", data: "photos" },
  "finetune-inception_v3": { weights: "made", data: "photos" },
  "scratch-squeezenet1_0": { weights: "none", data: "photos" },
  "cifar10-resnet18": { weights: "made", data: "cifar" },
  "cifar10-extract-adam": { weights: "made", data: "cifar" },
  "catdog-densenet121": { weights: "made", data: "photos" },
};

Deno.test("configs/ holds the tested recipes, and each is a valid config as it stands", async () => {
  const files = (await Array.fromAsync(Deno.readDir(CONFIGS))).map(({ name }) => name).sort();
  const names = files.filter((name) => name !== "config.schema.json");
  assert.deepEqual(names, Object.keys(RECIPES).map((name) => `${name}.yaml`).sort());
  for (const name of names) await loadConfig(join(CONFIGS, name));
});

for (const [name, cut] of Object.entries(RECIPES)) {
  Deno.test(`the recipe ${name} runs from start to end`, async () => {
    await withTemporaryFolder(async (folder) => {
      const overrides = await shortened(folder, name, cut);
      const config = await loadConfig(join(CONFIGS, `${name}.yaml`), overrides);
      const { folder: run, history, loadBest, loadPredictions } = await train(config);
      assert.equal(history.epochs.length, 1);
      const [{ train: trained, validation }] = history.epochs;
      assert.ok(Number.isFinite(trained.loss) && Number.isFinite(validation.loss));
      assert.equal(history.losses.at(-1)!.epoch, 1);
      await assertFiles(run);
      const predictions = await loadPredictions();
      assert.equal(predictions.length, validation.count);
      const right = predictions.filter((one) => one.predictedClass === one.trueClass).length;
      assert.equal(right / validation.count, validation.accuracy);
      const { model, classes, info } = await loadBest();
      assert.equal(info.accuracy, validation.accuracy);
      assert.equal(classes.length, info.model.numClasses);
      model.dispose();
      if (name.startsWith("cifar10")) {
        assert.deepEqual(history.validations.map(({ examples }) => examples), [0, 20]);
      }
      if (name.startsWith("catdog")) {
        // 16 images in steps of 2, validated after each 5 of the 8 steps and at the end.
        assert.deepEqual(history.validations.map(({ step }) => step), [5, 8]);
      }
    });
  });
}

/** Files that every run leaves. */
async function assertFiles(run: string): Promise<void> {
  const files = (await Array.fromAsync(Deno.readDir(run))).map((entry) => entry.name);
  for (const file of ["history.csv", "losses.csv", "losses.png", "curves.png", "batch.png"]) {
    assert.ok(files.includes(file), file);
  }
}

async function shortened(folder: string, name: string, cut: Cut): Promise<Override[]> {
  const isCatdog = name.startsWith("catdog");
  const overrides: Override[] = [
    { key: "out", value: join(folder, "runs") },
    { key: "train.epochs", value: 1 },
    { key: "train.schedule", value: { name: "constant" } },
    ...cut.set ?? [],
  ];
  if (cut.data === "own") return overrides;
  overrides.push({ key: "data.dataset", value: null });
  overrides.push({ key: "train.batchSize", value: isCatdog ? 2 : 4 });
  if (cut.data === "photos") {
    await linkPhotos(join(folder, "photos"), isCatdog ? 8 : 4);
    overrides.push({ key: "data.root", value: join(folder, "photos") });
  } else {
    const { archive } = await makeCifar(join(folder, "cifar"), { perBatch: 4, archive: true });
    overrides.push({ key: "data.root", value: archive });
    overrides.push({ key: "data.format", value: "cifar10" });
  }
  const weights = cut.weights === "made" ? await madeWeights(folder, name) : "none";
  overrides.push({ key: "model.weights", value: weights });
  overrides.push({ key: "model.replaceHead", value: true });
  return overrides;
}

/** Two classes of the food photos, a few of each. */
async function linkPhotos(root: string, perClass: number): Promise<void> {
  const photos = datasetFolder("food-groups");
  for (const [side, count] of [["train", perClass], ["val", 3]] as const) {
    for (const name of ["fruits", "marine-fish"]) {
      const target = join(root, side, name);
      await Deno.mkdir(target, { recursive: true });
      const files = (await Array.fromAsync(Deno.readDir(join(photos, side, name))))
        .map((entry) => entry.name).sort();
      for (const file of files.slice(0, count)) {
        await Deno.symlink(join(photos, side, name, file), join(target, file));
      }
    }
  }
}

/** Weights of a network of 1000 classes, as torchvision would publish them. */
async function madeWeights(folder: string, recipe: string): Promise<string> {
  const { model: { name } } = await loadConfig(join(CONFIGS, `${recipe}.yaml`));
  await openEngine();
  const model = createModel(name as ModelName, { numClasses: 1000, seed: 3 });
  const path = join(folder, "published.safetensors");
  await Deno.writeFile(path, encodeSafetensors(stateOf(parametersOf(model)), {}));
  const before = tf.memory().numTensors;
  model.dispose();
  assert.ok(tf.memory().numTensors < before);
  return path;
}

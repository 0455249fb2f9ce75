import { deepEqual, equal, match, ok } from "node:assert/strict";
import { basename, extname, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Page } from "playwright-core";
import { decodeImage } from "../../src/data/codecs/decode.ts";
import { listImages } from "../../src/data/datasets/image_files.ts";
import {
  type TransformInput,
  transformsSchema,
} from "../../src/data/transforms/transform_specs.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { exportRun } from "../../src/export/export_run.ts";
import { makePreprocessor, type Preprocessed } from "../../src/export/preprocessor.ts";
import type { ModelFacts } from "../../src/export/source.ts";
import { parametersOf } from "../../src/models/parameters.ts";
import { applyModel } from "../../src/models/heads.ts";
import { assignTorch } from "../../src/models/state_dict.ts";
import { createModel } from "../../src/models/create_model.ts";
import { ensureDataset } from "../../src/provision/datasets.ts";
import { ensurePretrainedWeights } from "../../src/models/pretrained_weights.ts";
import { loadTorchWeights } from "../../src/train/load_weights.ts";
import { browserTest, withPage } from "../support/browser.ts";
import { filledModel, madeConfig, writeRun } from "../support/filled_run.ts";
import { makeImages, transformsFor } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const SIDE = 96;
/** The validation transforms of configs/default.yaml, smaller. */
const TRANSFORMS: TransformInput[] = [
  { Resize: 104 },
  { CenterCrop: SIDE },
  { Normalize: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } },
];
const CLASSES = ["fruits", "green-leafy-vegetables", "marine-fish", "other-vegetables"];
/** Photos of each class that the head is made of, and that are compared. */
const KNOWN = 8;
const COMPARED = 5;
/**
 * Tolerance of a probability: browsers decode JPEGs in their own way, up to a few levels of 255 away, and a
 * graphics card sums in its own order.
 */
const MAX_DIFFERENCE = 0.02;
/** Makes differences of logits of a few units. */
const TEMPERATURE = 150;
/** Tolerance of the pixels that the model sees, on average, in levels of 255. */
const MAX_LEVELS = 1;

type Photo = { path: string; label: number };

async function photos(split: string, perClass: number): Promise<Photo[]> {
  const root = await ensureDataset("food-groups", () => {});
  const lists = await Promise.all(CLASSES.map((name) => listImages(root, join(split, name))));
  return lists.flatMap((files, label) =>
    files.slice(0, perClass).map(({ path }) => ({ path: join(root, path), label }))
  );
}

async function preprocessed({ path }: Photo, preprocess: ReturnType<typeof makePreprocessor>) {
  return preprocess(await decodeImage(await Deno.readFile(path), { path }));
}

function batchOf(images: readonly Preprocessed[]): tf.Tensor {
  return tf.stack(images.map(({ pixels }) => tf.tensor3d(pixels, [SIDE, SIDE, 3])));
}

/**
 * EfficientNet-Lite0 with ImageNet's weights and the head of the nearest mean: logits `(f · mᵢ − ‖mᵢ‖² / 2) / t`, `mᵢ`
 * the mean of the features of a class, `t` for doubtful answers. No training, and real predictions.
 */
async function nearestMeanModel(
  preprocess: ReturnType<typeof makePreprocessor>,
): Promise<tf.LayersModel> {
  const known = await photos("train", KNOWN);
  const images = await Promise.all(known.map((photo) => preprocessed(photo, preprocess)));
  const model = createModel("efficientnet_lite0", { numClasses: CLASSES.length });
  const weights = await ensurePretrainedWeights("efficientnet_lite0", () => {});
  await loadTorchWeights(model, weights, { replaceHead: true });
  const body = tf.model({ inputs: model.inputs, outputs: model.getLayer("classifier.0").output });
  const [means, biases] = tf.tidy(() => {
    const features = body.predict(batchOf(images)) as tf.Tensor;
    const means = tf.mean(tf.reshape(features, [CLASSES.length, KNOWN, -1]), 1);
    const biases = tf.div(tf.sum(tf.square(means), 1), -2);
    return [means, biases].map((values) => tf.div(values, TEMPERATURE).dataSync<"float32">());
  });
  for (const { name, variable, kind, torchShape } of parametersOf(model)) {
    if (name === "classifier.1.weight") assignTorch(variable, means, torchShape, kind);
    if (name === "classifier.1.bias") assignTorch(variable, biases, torchShape, kind);
  }
  return model;
}

async function exported(folder: string): Promise<string> {
  const out = join(folder, "export");
  await exportRun({ run: folder, checkpoint: "best", formats: ["tfjs"], out, verbose: false });
  return pathToFileURL(join(out, "demo", "index.html")).href;
}

/** Classifies a file in the page, by the same function that answers people. */
async function classifyIn(page: Page, path: string) {
  const base64 = (await Deno.readFile(path)).toBase64();
  const { probabilities, seen } = await page.evaluate(`(async () => {
    const photo = await fetch("data:image/jpeg;base64,${base64}");
    const { probabilities, seen } = await lockstepDemo.classify(await photo.blob());
    return { probabilities, seen: Array.from(seen.data) };
  })()`) as { probabilities: number[]; seen: number[] };
  return { probabilities, seen };
}

browserTest(
  "the demo tells real photos apart as the model does, opened by a double-click",
  async () => {
    await openEngine();
    await withTemporaryFolder(async (folder) => {
      const config = madeConfig({ name: "efficientnet_lite0" }, SIDE);
      config.data.val = TRANSFORMS;
      const preprocess = makePreprocessor(transformsSchema.parse(TRANSFORMS));
      const model = await nearestMeanModel(preprocess);
      await writeRun(folder, config, model, CLASSES);
      const url = await exported(folder);
      const compared = await photos("val", COMPARED);
      const images = await Promise.all(compared.map((photo) => preprocessed(photo, preprocess)));
      const expected = tf.tidy(() =>
        tf.softmax(applyModel(model, batchOf(images), false)[0]).arraySync() as number[][]
      );
      model.dispose();
      const right = expected.filter((row, i) => argMax(row) === compared[i].label).length;
      ok(right > compared.length / 2, `the model itself is right about ${right} photos`);
      const doubtful = expected.filter((row) => Math.max(...row) < 0.95).length;
      ok(doubtful > compared.length / 4, `only ${doubtful} answers would show a difference`);

      await withPage({}, async (page) => {
        await page.goto(url);
        await page.evaluate("lockstepDemo.ready");
        for (const [index, { path }] of compared.entries()) {
          const { probabilities, seen } = await classifyIn(page, path);
          const levels = meanDifference(seen, images[index].seen.data);
          ok(levels < MAX_LEVELS, `the pixels of ${path} are ${levels} levels away`);
          const off = Math.max(...probabilities.map((p, i) => Math.abs(p - expected[index][i])));
          ok(off < MAX_DIFFERENCE, `a probability of ${path} is ${off} away`);
          equal(argMax(probabilities), argMax(expected[index]), path);
        }
        const [{ path }] = compared;
        await page.setInputFiles("#file", path);
        await page.waitForSelector("#result:not([hidden])");
        equal(await page.textContent(".row:first-child .class"), CLASSES[argMax(expected[0])]);
        equal(await page.textContent("#name"), basename(path));
      });
    });
  },
);

browserTest(
  "the demo is used by keyboard, survives other files, and shows names as they are",
  async () => {
    await openEngine();
    await withTemporaryFolder(async (folder) => {
      const classes = ["<img src=x onerror=throw1>", "Äpfel & Birnen", "</script><b>", "d e"];
      const model = filledModel("plain_cnn", { numClasses: classes.length });
      await writeRun(folder, madeConfig({ name: "plain_cnn" }, 24), model, classes);
      model.dispose();
      await makeImages(join(folder, "data"), { side: 40 });
      const image = join(folder, "<i>a b.jpg");
      await Deno.rename(join(folder, "data/val/dark/0.jpg"), image);
      const other = join(folder, "notes.jpg");
      await Deno.writeTextFile(other, "not an image");
      const url = await exported(folder);
      await using server = serveFolder(join(folder, "export"));
      for (const place of [url, `${server.url}/demo/index.html`]) {
        await withPage({ width: 360, height: 700 }, async (page) => {
          await page.goto(place);
          await page.evaluate("lockstepDemo.ready");
          equal(await page.title(), "made");
          await page.keyboard.press("Tab");
          equal(await page.evaluate("document.activeElement.id"), "file");

          await page.setInputFiles("#file", other);
          await page.waitForSelector("#error:not([hidden])");
          match((await page.textContent("#error"))!, /^notes\.jpg is not an image/);

          await page.setInputFiles("#file", image);
          await page.waitForSelector("#result:not([hidden])");
          ok(await page.isHidden("#error"));
          equal(await page.textContent("#name"), "<i>a b.jpg");
          const shown = await page.locator(".class").allTextContents();
          deepEqual(shown.toSorted(), classes.toSorted());
          const shares = await page.locator(".share").allTextContents();
          const sum = shares.reduce((total, share) => total + parseFloat(share), 0);
          ok(Math.abs(sum - 100) < 0.5, `the shares add up to ${sum}`);
          equal(await page.evaluate("document.querySelectorAll('main b, main i').length"), 0);
          const width = await page.evaluate("document.documentElement.scrollWidth");
          equal(width, 360, "nothing reaches beyond a narrow screen");
        });
      }
    });
  },
);

browserTest(
  "plain tfjs loads the exported model.json from a server, with what it needs beside",
  async () => {
    await openEngine();
    await withTemporaryFolder(async (folder) => {
      const model = filledModel("plain_cnn", { numClasses: 3 });
      await writeRun(folder, madeConfig({ name: "plain_cnn" }, 24), model, ["a", "b", "c"]);
      const values = tf.randomNormal([2, 24, 24, 3], 0, 1, "float32", 1);
      const expected = tf.tidy(() => applyModel(model, values, false)[0].arraySync() as number[][]);
      const pixels = Array.from(values.dataSync());
      values.dispose();
      model.dispose();
      await exported(folder);
      await using server = serveFolder(join(folder, "export"));
      await withPage({}, async (page) => {
        await page.goto(`${server.url}/demo/index.html`);
        const { logits, metadata } = await page.evaluate(`(async () => {
        const model = await tf.loadGraphModel("${server.url}/tfjs/model.json");
        const images = tf.tensor(${JSON.stringify(pixels)}, [2, 24, 24, 3]);
        const logits = await model.execute(images, "logits").array();
        return { logits, metadata: model.metadata };
      })()`) as { logits: number[][]; metadata: ModelFacts };
        logits.flat().forEach((value, i) => {
          ok(Math.abs(value - expected.flat()[i]) < 1e-4, `${logits} instead of ${expected}`);
        });
        deepEqual(metadata.classes, ["a", "b", "c"]);
        deepEqual(metadata.preprocessing.transforms, transformsSchema.parse(transformsFor(24)));
      });
    });
  },
);

/** Serves a folder's files on a free port of this machine. */
function serveFolder(root: string): AsyncDisposable & { url: string } {
  const types: Record<string, string> = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
  };
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const path = join(root, decodeURIComponent(new URL(request.url).pathname));
      const type = types[extname(path)] ?? "application/octet-stream";
      return new Response(await Deno.readFile(path), { headers: { "content-type": type } });
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

function argMax(values: readonly number[]): number {
  return values.indexOf(Math.max(...values));
}

function meanDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  equal(a.length, b.length);
  return Array.from(a, (value, i) => Math.abs(value - b[i])).reduce((x, y) => x + y) / a.length;
}

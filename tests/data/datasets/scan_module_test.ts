import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Image } from "imagescript";
import { scanModule } from "../../../src/data/datasets/scan_module.ts";
import { Loader } from "../../../src/data/loading/loader.ts";
import type { ImageSet } from "../../../src/data/datasets/image_set.ts";
import { planEpoch } from "../../../src/data/loading/sampler.ts";
import { transformsSchema } from "../../../src/data/transforms/transform_specs.ts";
import { floatsFrom } from "../../../src/data/transforms/byte_images.ts";
import { TransformPipeline } from "../../../src/data/transforms/transforms.ts";
import { openEngine } from "../../../src/engine/engine.ts";
import { withTemporaryFolder } from "../../support/temporary_folder.ts";

await openEngine();

const OPTIONS = { seed: 7, maxPixels: 10_000 };

/** Scans a module of this text. */
async function scan(folder: string, text: string): Promise<ImageSet> {
  const path = join(folder, `data${crypto.randomUUID()}.ts`);
  await Deno.writeTextFile(path, text);
  return await scanModule(pathToFileURL(path).href, OPTIONS);
}

/** A module whose training samples are these expressions, and whose one validation sample is the first of them. */
function moduleOf(samples: readonly string[], extra = ""): string {
  return `
    const samples = [${samples.map((sample) => `() => (${sample})`).join(", ")}];
    export const createDataset = () => ({
      classes: ["a", "b"],
      train: { length: samples.length, sample: (index) => samples[index](), ${extra} },
      val: { length: 1, sample: () => samples[0]() },
    });`;
}

const bytes = (...values: number[]) => `new Uint8Array([${values}])`;
const sample = (image: string, label: string | number = 0) =>
  `{ image: ${image}, label: ${label} }`;
const pixels = (data: string, width = 2, height = 1) =>
  `{ width: ${width}, height: ${height}, data: ${data} }`;

Deno.test("scanModule() takes grey, RGB and RGBA pixels and image files, and labels by name", () =>
  withTemporaryFolder(async (folder) => {
    const image = new Image(2, 1);
    image.fill(Image.rgbToColor(10, 20, 30));
    const png = Array.from(await image.encode());
    const { train, source, classes, root, ...rest } = await scan(
      folder,
      moduleOf([
        sample(pixels(bytes(1, 9))),
        sample(pixels(bytes(1, 2, 3, 4, 5, 6)), 1),
        sample(pixels("new Uint8ClampedArray([1, 2, 3, 0, 4, 5, 6, 255])"), '"b"'),
        sample(bytes(...png)),
      ]),
    );
    assert.deepEqual([classes, train.map(({ label }) => label)], [["a", "b"], [-1, -1, -1, -1]]);
    assert.match(root, /^file:.*\.ts$/);
    assert.equal(rest.inOrder, false);
    const read = [];
    for (const each of train) read.push(Array.from((await source.read(each)).data));
    assert.deepEqual(read, [
      [1, 1, 1, 9, 9, 9],
      [1, 2, 3, 4, 5, 6],
      [1, 2, 3, 4, 5, 6],
      [10, 20, 30, 10, 20, 30],
    ]);
    assert.deepEqual(train.map(({ label }) => label), [0, 1, 1, 0]);
    const part = () => ({ left: 1, top: 0, width: 1, height: 1 });
    assert.deepEqual(Array.from((await source.read(train.at(1)!, part)).data), [4, 5, 6]);
  }));

Deno.test("scanModule() knows labels that are given, and holds samples to them", () =>
  withTemporaryFolder(async (folder) => {
    const grey = pixels(bytes(1, 2));
    const text = moduleOf([`{ image: ${grey} }`, sample(grey, 0)], "labels: [1, 1]");
    const set = await scan(
      folder,
      text.replace("val: { length: 1,", "val: { length: 1, labels: [1],"),
    );
    assert.equal(set.learnLabel, undefined, "nothing is left to learn");
    assert.deepEqual(set.train.map(({ label }) => label), [1, 1]);
    await set.source.read(set.train.at(0)!);
    await assert.rejects(
      set.source.read(set.train.at(1)!),
      /"train#1".*label is 0, but labels\[1\] is 1/,
    );
  }));

const WRONG: [string, RegExp][] = [
  [sample(pixels(bytes(1, 2, 3))), /its 3 values are not 2 × 1 pixels of 1 or 3 channels \(or 4\)/],
  [sample(pixels("new Float32Array(8)")), /its 8 values are not 2 × 1 pixels of 1 or 3 channels/],
  [sample("3"), /its image is neither \{ width, height, data \}/],
  [sample(pixels("[1, 2]")), /its image is neither/],
  [sample(bytes(1, 2, 3)), /"train#0" can't be used/],
  [
    sample(pixels(bytes(1, 2)), 2),
    /its label is 2, which is neither 0 to 1 nor one of the classes \("a", "b"\)/,
  ],
  [sample(pixels(bytes(1, 2)), '"c"'), /its label is "c", which is neither/],
  ["undefined", /its label is undefined/],
  ["(() => { throw 'a string'; })()", /sample\(0\) of file:\S+ threw: a string/],
];

Deno.test("a sample that is none is an image that can't be used", () =>
  withTemporaryFolder(async (folder) => {
    for (const [text, message] of WRONG) {
      const { source, train } = await scan(folder, moduleOf([text]));
      await assert.rejects(source.read(train.at(0)!), (error: Error) => {
        assert.equal(error.name, "DataError");
        assert.match(error.message, message);
        return true;
      });
    }
  }));

Deno.test("floats pass the transforms by, and must have their size", () =>
  withTemporaryFolder(async (folder) => {
    const { source, train } = await scan(
      folder,
      moduleOf([
        sample(pixels("new Float32Array([1, 2, 3, 4, 5, 6.5])")),
        sample(pixels("new Float32Array([-1, 7])"), 1),
        sample(pixels("new Float32Array(3)", 1)),
      ]),
    );
    const transforms = [{ RandomResizedCrop: [1, 2] }, {
      Normalize: { mean: [9, 9, 9], std: [1, 1, 1] },
    }];
    const loader = new Loader({
      source,
      samples: train,
      pipeline: new TransformPipeline(transformsSchema.parse(transforms)),
      onError: "skip",
      prefetch: 2,
    });
    for (const epoch of [1, 2]) {
      const [step] = planEpoch({
        length: 3,
        globalBatch: 3,
        rank: 0,
        worldSize: 1,
        seed: 0,
        epoch,
        shuffle: false,
      });
      for await (const batch of loader.batches([step], epoch, { seed: 0 })) {
        assert.deepEqual(Array.from(floatsFrom(batch.images)), [
          1,
          2,
          3,
          4,
          5,
          6.5,
          -1,
          -1,
          -1,
          7,
          7,
          7,
        ]);
        assert.deepEqual(Array.from(batch.labels), [0, 1]);
        assert.match(batch.skipped[0].reason, /its 1 × 1 floats.*make 1 × 2 \(height × width\)/);
      }
    }
  }));

/** A stream that writes down where it was begun. */
function streamOf(count: number, ending = ""): string {
  return `
    const image = (value) => ({ width: 1, height: 1, data: new Uint8Array([value]) });
    globalThis.begun ??= [];
    const part = (length) => ({ length, async *stream({ epoch, split, seed }) {
      globalThis.begun.push([split, epoch, seed]);
      for (let at = 0; at < ${count}; at++) yield { image: image(10 * epoch + at), label: at % 2 };
      ${ending}
    } });
    export const createDataset = () => ({ classes: ["a", "b"], train: part(6), val: part(6) });`;
}

Deno.test("a stream is taken in order, begun anew for each epoch or earlier place, and shared by position", () =>
  withTemporaryFolder(async (folder) => {
    const begun = (globalThis as { begun?: unknown[] }).begun = [];
    const set = await scan(folder, streamOf(9));
    assert.equal(set.inOrder, true);
    const loader = new Loader({
      source: set.source,
      samples: set.train,
      pipeline: new TransformPipeline(transformsSchema.parse([{ CenterCrop: 1 }])),
      onError: "fail",
      prefetch: 3,
    });
    const values = async (epoch: number, rank: number, startStep = 0) => {
      const plan = planEpoch({
        length: 6,
        globalBatch: 2,
        rank,
        worldSize: 2,
        seed: 0,
        epoch,
        shuffle: false,
        startStep,
      });
      const found = [];
      for await (const { images, labels } of loader.batches(plan, epoch, { seed: 0 })) {
        found.push([Math.round(floatsFrom(images)[0] * 255), labels[0]]);
      }
      return found;
    };
    assert.deepEqual(await values(1, 0), [[10, 0], [12, 0], [14, 0]]);
    assert.deepEqual(await values(2, 1), [[21, 1], [23, 1], [25, 1]]);
    assert.deepEqual(await values(2, 1, 2), [[25, 1]]);
    assert.deepEqual(begun, [["train", 1, 7], ["train", 2, 7], ["train", 2, 7]]);
    set.source[Symbol.dispose]();
  }));

Deno.test("a stream that ends too early or throws ends the run, whatever data.onError says", () =>
  withTemporaryFolder(async (folder) => {
    const short = await scan(folder, streamOf(4));
    await assert.rejects(
      short.source.read(short.train.at(5)!, undefined, 1),
      /The stream of train samples of file:\S+ ended after 4, but its length is 6/,
    );
    const broken = await scan(folder, streamOf(2, "throw new Error('cable cut');"));
    await assert.rejects(broken.source.read(broken.val.at(3)!), (error: Error) => {
      assert.equal(error.name, "LockstepError");
      assert.match(error.message, /^The stream of val samples, at 2, of file:\S+ threw: cable cut/);
      return true;
    });
  }));

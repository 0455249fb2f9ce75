import assert from "node:assert/strict";
import { floatsFrom } from "../../src/data/transforms/byte_images.ts";
import { join } from "node:path";
import { Image } from "imagescript";
import { validateConfig } from "../../src/config/load.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import {
  type ShownData,
  tilesOf,
  trainingRows,
  validationRows,
} from "../../src/preview/training_images.ts";
import { batchImages } from "../../src/coordinator/listeners/report_writer.ts";
import { planEpoch } from "../../src/data/loading/sampler.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { makeLoaders, scanData } from "../../src/train/job.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { tinyConfig } from "../support/tiny_run.ts";

const NORMALIZE = { mean: [0.5, 0.4, 0.3], std: [0.25, 0.2, 0.3] };

/** Runs a test on small JPEGs with random transforms. */
async function withData(
  data: Partial<ConfigInput["data"]>,
  use: (data: ShownData, folder: string) => Promise<void>,
): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { side: 30 });
    const { data: base, ...rest } = tinyConfig(root, { seed: 3 });
    const config = validateConfig({
      ...rest,
      data: {
        ...base,
        train: [
          { RandomResizedCrop: 16 },
          "RandomHorizontalFlip",
          { Normalize: NORMALIZE },
          "RandomErasing",
        ],
        ...data,
      },
    });
    await openEngine();
    const images = await scanData(root, config);
    using _source = images.source;
    await use({ config, dataset: images }, folder);
  });
}

/** A worker's batches of an epoch as bytes and labels, in the order of the epoch. */
async function trained({ config, dataset }: ShownData, epoch: number) {
  const plan = planEpoch({
    length: dataset.train.length,
    globalBatch: 8,
    rank: 0,
    worldSize: 1,
    seed: config.seed,
    epoch,
    shuffle: true,
  });
  const rows: { rgb: number[]; label: string; partner: string; share: number }[] = [];
  const { train } = makeLoaders(dataset, config);
  for await (const { images, labels, mix } of train.batches(plan, epoch, { seed: config.seed })) {
    const values = floatsFrom(images), floats = values.length / labels.length;
    labels.forEach((label, row) => {
      const rgb = Array.from(Uint8ClampedArray.from(
        values.subarray(row * floats, (row + 1) * floats),
        (value, at) => 255 * (value * NORMALIZE.std[at % 3] + NORMALIZE.mean[at % 3]),
      ));
      const partner = dataset.classes[mix?.partnerLabels[row] ?? label];
      rows.push({ rgb, label: dataset.classes[label], partner, share: mix?.share ?? 1 });
    });
  }
  return rows;
}

Deno.test("tilesOf() gives the images of training, in its order, for each epoch", () =>
  withData({}, async (data) => {
    const seen = new Set<string>();
    for (const epoch of [1, 2]) {
      const rows = [...trainingRows(data, epoch)];
      const tiles = await tilesOf(data, "train", epoch, rows);
      const expected = await trained(data, epoch);
      assert.equal(tiles.length, 21);
      tiles.forEach((tile, index) => {
        assert.deepEqual(Array.from(tile!.rgb), expected[index].rgb, `image ${index}`);
        assert.equal(tile!.title, expected[index].label);
      });
      const first = tiles[rows.findIndex(({ indices }) => indices[0] === 0)]!;
      seen.add(first.rgb.join());
    }
    assert.equal(seen.size, 2, "another draw in each epoch");
  }));

Deno.test("tilesOf() shows what is mixed, with both labels and their shares", () =>
  withData({ mix: [{ MixUp: 1 }, { CutMix: 1 }] }, async (data) => {
    const rows = trainingRows(data, 1);
    const expected = await trained(data, 1);
    const chosen = [0, 1, 7, 8, 20]; // first and last rows of steps, and the short last step
    const tiles = await tilesOf(data, "train", 1, chosen.map((row) => rows.at(row)!));
    tiles.forEach((tile, index) => {
      const { rgb, label, partner, share } = expected[chosen[index]];
      assert.deepEqual(Array.from(tile!.rgb), rgb, `image ${chosen[index]}`);
      if (label === partner) return assert.equal(tile!.title, label);
      const percent = Math.round(100 * share);
      const lines = [`${percent}% ${label}`, `${100 - percent}% ${partner}`];
      assert.deepEqual(tile!.title.split("\n").sort(), lines.sort());
      assert.ok(parseInt(tile!.title) >= 50, "the greater share comes first");
    });
    assert.ok(tiles.some((tile) => tile!.title.includes("\n")));
  }));

Deno.test("tilesOf() leaves a gap for an image that can't be read, or says which one it is", () =>
  withData({ onError: "skip" }, async (data) => {
    const rows = [...validationRows(data)];
    const broken = data.dataset.val.at(1)!.path;
    await Deno.writeTextFile(join(data.dataset.root, broken), "no image");
    const tiles = await tilesOf(data, "val", 1, rows);
    assert.deepEqual(tiles.map((tile) => tile?.title), [
      "dark",
      undefined,
      "dark",
      ...["light", "light", "light", "middle", "middle", "middle"],
    ]);
    const strict = {
      ...data,
      config: { ...data.config, data: { ...data.config.data, onError: "fail" as const } },
    };
    await assert.rejects(
      tilesOf(strict, "val", 1, rows),
      (error: Error) => error.message.includes(broken),
    );
  }));

Deno.test("batchImages() gives the report the first step's images as the ranks get them", async () => {
  const mix: ConfigInput["data"]["mix"][] = [undefined, [{ MixUp: 1 }], [{ CutMix: 1 }]];
  for (const own of mix) {
    await withData(own ? { mix: own } : {}, async (data) => {
      const images = await batchImages(data);
      // Two workers' own loaders, each over its share of the first step.
      const expected = [];
      for (const rank of [0, 1]) {
        const [step] = planEpoch({
          length: data.dataset.train.length,
          globalBatch: 8,
          rank,
          worldSize: 2,
          seed: data.config.seed,
          epoch: 1,
          shuffle: true,
        });
        const { train } = makeLoaders(data.dataset, data.config);
        for await (const batch of train.batches([step], 1, { seed: data.config.seed })) {
          for (const [row, image] of train.imagesOf(batch).entries()) {
            const [label, other] = [batch.labels[row], batch.mix?.partnerLabels[row]];
            const { classes } = data.dataset;
            const mixed = other === undefined || other === label
              ? {}
              : { mixed: { class: classes[other], share: batch.mix!.share } };
            expected.push({ rgb: Array.from(image.data), class: classes[label], ...mixed });
          }
        }
      }
      const shown = await Promise.all(images.map(async ({ image, width, height, ...rest }) => {
        const png = await Image.decode(Uint8Array.fromBase64(image.split(",")[1])) as Image;
        assert.deepEqual([png.width, png.height], [width, height]);
        return { rgb: Array.from(png.bitmap).filter((_, at) => at % 4 < 3), ...rest };
      }));
      assert.deepEqual(shown, expected);
      assert.equal(shown.length, 8);
      if (own) assert.ok(shown.some(({ mixed }) => mixed), "some are of two classes");
    });
  }
});

Deno.test("batchImages() and trainingRows() keep the order of a stream, as training does", () =>
  withTemporaryFolder(async (folder) => {
    const module = join(folder, "stream.ts");
    await Deno.writeTextFile(
      module,
      `const image = (value) => ({ width: 4, height: 4, data: new Uint8Array(16).fill(value) });
       const part = (length) => ({ length, async *stream({ epoch }) {
         for (let at = 0; at < length; at++) yield { image: image(100 * epoch + at), label: at % 2 };
       } });
       export const createDataset = () => ({ classes: ["a", "b"], train: part(21), val: part(6) });`,
    );
    const crop = [{ CenterCrop: 4 }];
    const config = validateConfig(tinyConfig(folder, {
      workers: 2,
      data: { module, train: crop, val: crop },
      train: { batchSize: 8, epochs: 2 },
    }));
    await openEngine();
    const dataset = await scanData(folder, config);
    using _source = dataset.source;
    assert.deepEqual(
      trainingRows({ config, dataset }, 2).map(({ indices }) => indices[0]),
      Array.from({ length: 21 }, (_, index) => index),
    );
    const shown = await Promise.all(
      (await batchImages({ config, dataset })).map(async ({ image, class: name }) => {
        const png = await Image.decode(Uint8Array.fromBase64(image.split(",")[1])) as Image;
        return [png.bitmap[0], name];
      }),
    );
    const expected = Array.from({ length: 8 }, (_, at) => [100 + at, "ab"[at % 2]]);
    assert.deepEqual(shown, expected);
  }));

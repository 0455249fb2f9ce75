import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { Loader, type LoaderOptions } from "../../src/data/loading/loader.ts";
import { ImageSource } from "../../src/data/datasets/image_source.ts";
import { planEpoch } from "../../src/data/loading/sampler.ts";
import {
  type TransformInput,
  transformsSchema,
} from "../../src/data/transforms/transform_specs.ts";
import { floatsFrom } from "../../src/data/transforms/byte_images.ts";
import { TransformPipeline } from "../../src/data/transforms/transforms.ts";
import { openEngine } from "../../src/engine/engine.ts";

const FOLDER = new URL("../fixtures/data/", import.meta.url);
const Normalize = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

/**
 * SHA-256 over two epochs of every image of the fixtures. Taken in November 2026 from a loader that decoded
 * whole images and resized them in plain TypeScript: pixels must not change when the way to them does.
 */
const EXPECTED: [name: string, transforms: TransformInput[], sha256: string][] = [
  [
    "the usual training recipe",
    [{ RandomResizedCrop: 32 }, "RandomHorizontalFlip", { Normalize }],
    "3b619f4426e3a6af5359db861bbd8d58cedfbd70acef045e0c8338578f1cbc98",
  ],
  ["a wide crop, enlarged, with colours", [
    { RandomResizedCrop: { size: [90, 200], scale: [0.02, 0.5] } },
    { ColorJitter: { brightness: 0.4, hue: 0.1 } },
    "RandomVerticalFlip",
  ], "7a646b36934879984f8b1c2cdcc8ed11135ea2de04d631e5f64a9d1e8cf1381c"],
  [
    "a crop of a resized image",
    [{ Resize: 48 }, { RandomResizedCrop: 24 }],
    "6fed0c37b72c42a87a2216586454306476f00516bfaa323e32f64413e5af7140",
  ],
  [
    "the usual validation recipe",
    [{ Resize: 40 }, { CenterCrop: 32 }, { Normalize }],
    "88c1a45b3e6daffa41d508d3bbba8bc3bc9333623c27c1852630e50c9e147821",
  ],
];

async function hashOf(
  transforms: TransformInput[],
  options: Partial<LoaderOptions>,
  reuse = false,
) {
  const samples = ["jpegs", "pictures"].flatMap((folder) =>
    [...Deno.readDirSync(new URL(folder, FOLDER))].map(({ name }) => `${folder}/${name}`).sort()
  ).map((path, index) => ({ path, label: 0, index }));
  await openEngine();
  using source = new ImageSource(fileURLToPath(FOLDER));
  const pipeline = new TransformPipeline(transformsSchema.parse(transforms));
  const loader = new Loader({
    source,
    samples,
    pipeline,
    onError: "fail",
    prefetch: 2,
    ...options,
  });
  const hash = createHash("sha256");
  for (const epoch of [0, 1]) {
    const rank = { length: samples.length, globalBatch: 16, rank: 0, worldSize: 1 };
    const plan = planEpoch({ ...rank, seed: 3, epoch, shuffle: true });
    for await (const { images } of loader.batches(plan, epoch, { seed: 3, reuse })) {
      const { buffer, byteOffset, byteLength } = floatsFrom(images);
      hash.update(new Uint8Array(buffer, byteOffset, byteLength));
    }
  }
  return hash.digest("hex");
}

for (const [name, transforms, expected] of EXPECTED) {
  Deno.test(`Loader.batches() gives the pixels that it always gave: ${name}`, async () => {
    assert.equal(await hashOf(transforms, { cacheBytes: 0 }), expected, "decoded in each epoch");
    assert.equal(await hashOf(transforms, {}), expected, "kept in memory");
    assert.equal(await hashOf(transforms, { cacheBytes: 0 }, true), expected, "memory used again");
    const some = { cacheBytes: 60_000, concurrency: 1 };
    assert.equal(await hashOf(transforms, some), expected, "some kept in memory");
  });
}

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { DataError } from "../../../src/data/codecs/data_error.ts";
import { CifarSource } from "../../../src/data/datasets/cifar10.ts";
import type { Sample, SampleSource } from "../../../src/data/datasets/image_set.ts";
import { ImageSource } from "../../../src/data/datasets/image_source.ts";
import { PausedSource } from "../../../src/data/datasets/paused_source.ts";
import { LoaderThreads } from "../../../src/data/loading/loader_threads.ts";
import { type Batch, Loader, type LoaderOptions } from "../../../src/data/loading/loader.ts";
import { planEpoch } from "../../../src/data/loading/sampler.ts";
import { createSharedImages, SharedImages } from "../../../src/data/loading/shared_images.ts";
import { transformsSchema } from "../../../src/data/transforms/transform_specs.ts";
import { ByteImages, floatsFrom } from "../../../src/data/transforms/byte_images.ts";
import { memoryOf } from "../../support/byte_batches.ts";
import { TransformPipeline } from "../../../src/data/transforms/transforms.ts";
import { openEngine } from "../../../src/engine/engine.ts";
import { IMAGE_FILES, makeImageSamples } from "../../support/image_samples.ts";

const TRAIN = transformsSchema.parse([
  { RandomResizedCrop: 12 },
  "RandomHorizontalFlip",
  { ColorJitter: { brightness: 0.4, hue: 0.1 } },
  { Normalize: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } },
  { RandomErasing: { p: 0.5, value: "random" } },
]);
const VAL = transformsSchema.parse([{ Resize: 12 }, { CenterCrop: 12 }]);
const MIX = [{ MixUp: { alpha: 0.8 } }, { CutMix: { alpha: 1 } }];

/** A folder of real images under many names, some of them broken. */
async function setUp(broken: Record<string, string> = {}) {
  await openEngine();
  const files = [...IMAGE_FILES, ...IMAGE_FILES, ...IMAGE_FILES];
  const folder = await makeImageSamples(
    files.map((file, index) => ({
      file,
      path: `${index} ${index % 2 ? "日本 ü" : "plain"} ${file}`,
    })),
    broken,
  );
  const { root, samples } = folder;
  const loader = (options: Partial<LoaderOptions> = {}) =>
    new Loader({
      source: new ImageSource(root, 1e6),
      samples,
      pipeline: new TransformPipeline(TRAIN),
      onError: "fail",
      prefetch: 2,
      ...options,
    });
  return {
    root,
    samples,
    loader,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

function planOf(change: object = {}) {
  const base = { length: 3 * IMAGE_FILES.length, globalBatch: 5, rank: 0, worldSize: 1, seed: 1 };
  return planEpoch({ ...base, epoch: 0, shuffle: true, ...change });
}

/** A hash of each row's bytes. */
function hashes(images: Float32Array, rows: number): string[] {
  const floats = images.length / rows;
  return Array.from({ length: rows }, (_, row) => {
    const bytes = new Uint8Array(images.slice(row * floats, (row + 1) * floats).buffer);
    return createHash("sha256").update(bytes).digest("hex").slice(0, 16);
  });
}

/** Copies of batches, as data that can be compared. */
async function all(loader: Loader, plan: ReturnType<typeof planOf>, epoch = 0, reuse = true) {
  const list: (Omit<Batch, "height" | "width" | "images"> & { rows: string[] })[] = [];
  for await (const batch of loader.batches(plan, epoch, { seed: 1, reuse })) {
    const { step, images, labels, indices, skipped, mix, unread } = batch;
    list.push({
      step,
      rows: hashes(floatsFrom(images), labels.length).map((hash, row) =>
        unread?.has(row) ? "unread" : hash
      ),
      labels,
      indices,
      skipped,
      ...(mix ? { mix } : {}),
      ...(unread ? { unread } : {}),
    });
  }
  return list;
}

Deno.test("Loader.batches() gives the same bits with any number of threads, and without", async () => {
  const broken = { "8 plain rgb.png": "<html>", "13 日本 ü gray.png": "" };
  await using rig = await setUp(broken);
  const kinds: [string, Partial<LoaderOptions>, ReturnType<typeof planOf>][] = [
    ["augmented, mixed, skipped", { mix: MIX }, planOf()],
    ["resumed in mid-epoch", { mix: MIX }, planOf({ startStep: 2 })],
    ["the second rank of two", { mix: MIX }, planOf({ rank: 1, worldSize: 2 })],
    ["a rank without rows", { mix: MIX }, planOf({ rank: 6, worldSize: 7 })],
    ["known samples", { known: new Set([0, 3, 12]) }, planOf()],
    ["nothing kept", { cacheBytes: 0 }, planOf()],
    ["room for some", { cacheBytes: 60_000 }, planOf()],
    ["validation", { pipeline: new TransformPipeline(VAL) }, planOf({ shuffle: false })],
  ];
  const expected = new Map<string, unknown[]>();
  for (const [kind, options, plan] of kinds) {
    const loader = rig.loader({ onError: "skip", ...options });
    expected.set(kind, [await all(loader, plan, 3), await all(loader, plan, 4)]);
  }
  const [first] = expected.get("augmented, mixed, skipped") as Batch[][];
  assert.deepEqual(
    first.flatMap(({ skipped }) => skipped.map(({ path }) => path)).sort(),
    Object.keys(broken).sort(),
  );
  for (const count of [1, 2, 3]) {
    await using threads = new LoaderThreads(count);
    for (const [kind, options, plan] of kinds) {
      const loader = rig.loader({ onError: "skip", threads, ...options });
      const found = [await all(loader, plan, 3), await all(loader, plan, 4, false)];
      assert.deepEqual(found, expected.get(kind), `${count} threads: ${kind}`);
    }
  }
});

/** Leaves nothing to the device. */
class FloatPipeline extends TransformPipeline {
  override readonly device = undefined;
}

Deno.test("batches of bytes come to the bits of batches of floats, mixed and with gaps", async () => {
  const broken = { "8 plain rgb.png": "<html>", "13 日本 ü gray.png": "" };
  await using rig = await setUp(broken);
  await using threads = new LoaderThreads(2);
  const recipe = transformsSchema.parse([
    { RandomResizedCrop: 12 },
    "RandomHorizontalFlip",
    { ColorJitter: { brightness: 0.4, hue: 0.1 } },
    "RandomVerticalFlip",
    { Normalize: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } },
    { RandomErasing: { p: 0.5, value: [1, -1, 0.3] } },
  ]);
  const files = new ImageSource(rig.root, 1e6);
  /** Gives some images as floats of their own, one of them of another size. */
  const partly: SampleSource = {
    cheap: true,
    async read(sample, part) {
      const image = await files.read(sample, part);
      if (sample.index % 3 > 0) return image;
      const side = sample.index === 3 ? 11 : 12;
      const ready = Float32Array.from({ length: side ** 2 * 3 }, (_, at) => sample.index - at / 7);
      return { width: side, height: side, data: new Uint8Array(), ready };
    },
    [Symbol.dispose]: () => {},
  };
  const byRank = (rank: number) => planOf({ rank, worldSize: 2 });
  const kinds: [string, Partial<LoaderOptions>, ReturnType<typeof planOf>, bytes?: boolean][] = [
    ["not mixed", {}, planOf()],
    ["mixed", { mix: MIX }, planOf()],
    ["the first rank of two", { mix: MIX }, byRank(0)],
    ["the second rank of two", { mix: MIX }, byRank(1)],
    ["a rank with one row", { mix: MIX }, planOf({ rank: 1, worldSize: 4 })],
    ["known samples", { known: new Set([0, 3, 12]) }, planOf()],
    ["floats of their own", { source: partly }, planOf({ globalBatch: 4 }), false],
    ["floats of their own, mixed", { source: partly, mix: MIX }, byRank(0), false],
    ["floats of their own, mixed, all of the step", { source: partly, mix: MIX }, planOf(), false],
    [
      "products that are nearly 0",
      { mix: [{ MixUp: { alpha: 0.013 } }] },
      planOf({ globalBatch: 2 }),
      false,
    ],
  ];
  for (const [kind, options, plan, isBytes = true] of kinds) {
    const of = (pipeline: TransformPipeline, more: Partial<LoaderOptions> = {}) =>
      rig.loader({ onError: "skip", pipeline, ...options, ...more });
    const expected = await all(of(new FloatPipeline(recipe)), plan, 3);
    assert.ok(expected.some(({ rows }) => rows.length > 0), kind);
    for (const more of [{}, { threads }]) {
      const loader = of(new TransformPipeline(recipe), more);
      assert.deepEqual(await all(loader, plan, 3), expected, kind);
      const forms = [];
      for await (const { images } of loader.batches(plan, 3, { seed: 1 })) {
        forms.push(images instanceof ByteImages);
      }
      assert.ok(isBytes ? !forms.includes(false) : forms.includes(false), kind);
    }
  }
});

Deno.test("threads end an epoch with the error that the calling thread ends it with", async () => {
  const path = "3 日本 ü plain.gif";
  await using rig = await setUp({ [path]: "GIF89a" });
  const tooLarge = [{ Resize: { size: 20_000 } }, { CenterCrop: { size: [8, 8] as const } }];
  const kinds: Partial<LoaderOptions>[] = [
    {},
    { source: new ImageSource(rig.root, 100) },
    { source: new ImageSource(join(rig.root, "gone"), 1e6) },
    { pipeline: new TransformPipeline(transformsSchema.parse(tooLarge)) },
  ];
  await using threads = new LoaderThreads(2);
  for (const options of kinds) {
    const [own, threaded] = await Promise.all(
      [rig.loader(options), rig.loader({ threads, ...options })]
        .map(async (loader) => {
          const steps: number[] = [];
          try {
            for await (
              const { step } of loader.batches(planOf({ shuffle: false, globalBatch: 2 }), 0, {
                seed: 1,
              })
            ) {
              steps.push(step);
            }
          } catch (error) {
            assert.ok(error instanceof DataError, String(error));
            return { steps, path: error.path, reason: error.reason, message: error.message };
          }
        }),
    );
    assert.deepEqual(threaded, own);
    assert.ok(own);
  }
});

Deno.test("threads end an iteration early, by a break or a signal, and make other batches then", async () => {
  await using rig = await setUp();
  await using threads = new LoaderThreads(2);
  const loader = rig.loader({ threads, cacheBytes: 0, prefetch: 3 });
  const expected = await all(rig.loader(), planOf());
  const slow = rig.loader({
    threads,
    source: new PausedSource(20),
    pipeline: new TransformPipeline(transformsSchema.parse([{ CenterCrop: 12 }])),
  });
  for await (const { images } of loader.batches(planOf(), 0, { seed: 1, reuse: true })) {
    const copy = floatsFrom(images).slice();
    for await (const _ of loader.batches(planOf(), 1, { seed: 1, reuse: true })) break;
    assert.deepEqual(floatsFrom(images), copy, "rows in use are nobody else's");
    break;
  }
  const stop = new AbortController();
  const reason = new Error("stop now");
  await assert.rejects(async () => {
    const options = { seed: 1, signal: stop.signal };
    for await (const _ of slow.batches(planOf({ globalBatch: 1, length: 21 }), 0, options)) {
      stop.abort(reason);
    }
  }, reason);
  assert.deepEqual(await all(loader, planOf()), expected);
  const late = loader.batches(planOf(), 0, { seed: 1, signal: stop.signal });
  await assert.rejects(late.next(), reason);
});

Deno.test("threads read CIFAR-10's records, and two loaders at the same time", async () => {
  await using rig = await setUp();
  const folder = join(rig.root, "cifar");
  await Deno.mkdir(folder);
  const records = new Uint8Array(20 * 3073).map((_, at) =>
    at % 3073 === 0 ? (at / 3073) % 3 : at % 251
  );
  await Deno.writeFile(join(folder, "data_batch_1.bin"), records);
  const samples = Array.from({ length: 20 }, (_, index): Sample => ({
    path: `data_batch_1.bin#${index}`,
    label: index % 3,
    index,
  }));
  using source = new CifarSource(folder);
  const cifar = { source, samples, mix: MIX };
  const plan = planOf({ length: 20 });
  await using threads = new LoaderThreads(2);
  const [records1, files] = await Promise.all([
    all(rig.loader({ ...cifar, threads }), plan),
    all(rig.loader({ threads }), planOf()),
  ]);
  assert.deepEqual(records1, await all(rig.loader(cifar), plan));
  assert.deepEqual(files, await all(rig.loader(), planOf()));
});

Deno.test({
  name: "threads keep images for the other workers of the host, and find theirs",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    await using rig = await setUp();
    const shape = { bytes: 4_000_000, worldSize: 2, samples: rig.samples.length };
    using segment = createSharedImages(shape.bytes);
    const [first, second] = [0, 1].map((rank) => new SharedImages(segment.path, shape, rank));
    const expected = await all(rig.loader(), planOf());
    await using threads = new LoaderThreads(2);
    assert.deepEqual(
      await all(rig.loader({ threads, cache: first.listFrom(0) }), planOf()),
      expected,
    );
    assert.deepEqual({ ...first.use, bytes: 0 }, { images: 21, bytes: 0, hits: 0, misses: 21 });
    await Deno.rename(rig.root, `${rig.root}-gone`); // the second rank needs no file
    try {
      const loader = rig.loader({ threads, cache: second.listFrom(0) });
      assert.deepEqual(await all(loader, planOf()), expected);
    } finally {
      await Deno.rename(`${rig.root}-gone`, rig.root);
    }
    assert.deepEqual([second.use.images, second.use.hits, second.use.misses], [21, 21, 21]);
  },
});

Deno.test("threads' memory is used again from epoch to epoch, and for other loaders", async () => {
  await using rig = await setUp();
  await using threads = new LoaderThreads(1);
  const buffers = new Set<ArrayBufferLike>();
  for (let epoch = 0; epoch < 5; epoch++) {
    for (const pipeline of [TRAIN, VAL]) {
      const loader = rig.loader({ threads, pipeline: new TransformPipeline(pipeline) });
      for await (const { images } of loader.batches(planOf(), epoch, { seed: 1, reuse: true })) {
        buffers.add(memoryOf(images));
      }
    }
  }
  assert.ok(buffers.size <= 3, `${buffers.size} slots for 2 batches ahead and one in use`);
});

Deno.test("a failure of the threads themselves ends what waits for them, and what comes later", async () => {
  await using rig = await setUp();
  const threads = new LoaderThreads(2);
  const loader = rig.loader({ threads });
  const recipe = { kind: "files", root: rig.root, maxPixels: 1e6 } as const;
  const transforms = [{ NoSuchTransform: {} }] as never;
  threads.addMaker({ source: recipe, transforms, cache: undefined });
  await assert.rejects(all(loader, planOf()), /./);
  await assert.rejects(all(loader, planOf()), /./);
  await threads[Symbol.asyncDispose]();
  await assert.rejects(all(loader, planOf()), /./);
  await using unused = new LoaderThreads(3);
  unused.start(); // ended before its code is loaded
});

import assert from "node:assert/strict";
import { join } from "node:path";
import { DataError } from "../../../src/data/codecs/data_error.ts";
import { type Batch, Loader, type LoaderOptions } from "../../../src/data/loading/loader.ts";
import type { Sample } from "../../../src/data/datasets/image_set.ts";
import { ImageSource } from "../../../src/data/datasets/image_source.ts";
import { planEpoch } from "../../../src/data/loading/sampler.ts";
import { type TransformSpec } from "../../../src/data/transforms/transform_specs.ts";
import { ByteImages, floatsFrom } from "../../../src/data/transforms/byte_images.ts";
import { memoryOf } from "../../support/byte_batches.ts";
import { TransformPipeline } from "../../../src/data/transforms/transforms.ts";
import { openEngine } from "../../../src/engine/engine.ts";
import { IMAGE_FILES, makeImageSamples } from "../../support/image_samples.ts";

const TRAIN: TransformSpec[] = [
  { RandomResizedCrop: { size: [8, 8], scale: [0.3, 1], ratio: [0.75, 4 / 3] } },
  { RandomHorizontalFlip: { p: 0.5 } },
];

/** A folder of real images, some of which may be broken, and a loader over them. */
async function setUp(options: Partial<LoaderOptions> = {}, broken: Record<string, string> = {}) {
  await openEngine();
  const folder = await makeImageSamples(IMAGE_FILES.map((file) => ({ path: file, file })), broken);
  const { root, samples } = folder;
  try {
    const loader = new Loader({
      source: new ImageSource(root, 1e6),
      samples,
      pipeline: new TransformPipeline(TRAIN),
      onError: "fail",
      prefetch: 2,
      ...options,
    });
    return { root, loader, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
  } catch (error) {
    await folder[Symbol.asyncDispose]();
    throw error;
  }
}

function planOf(change: object = {}) {
  const base = {
    length: IMAGE_FILES.length,
    globalBatch: 3,
    rank: 0,
    worldSize: 1,
    seed: 1,
    epoch: 0,
  };
  return planEpoch({ ...base, shuffle: true, ...change });
}

async function all(batches: AsyncIterable<Batch>): Promise<Batch[]> {
  const list: Batch[] = [];
  for await (const batch of batches) list.push(batch);
  return list;
}

/** Each sample's pixels by its index. */
function pixelsOf(batches: Batch[]): Map<number, string> {
  const floats = 8 * 8 * 3;
  return new Map(
    batches.flatMap(({ indices, images }) => {
      const values = floatsFrom(images);
      return Array.from(
        indices,
        (index, row) => [index, values.subarray(row * floats, (row + 1) * floats).join()] as const,
      );
    }),
  );
}

Deno.test("Loader.batches() gives the plan's samples in order, with labels and NHWC floats", async () => {
  await using rig = await setUp();
  const plan = planOf();
  const batches = await all(rig.loader.batches(plan, 0, { seed: 1 }));
  assert.deepEqual(batches.map(({ step }) => step), [0, 1, 2]);
  batches.forEach((batch, at) => {
    assert.deepEqual(batch.indices, plan[at].indices.slice());
    assert.deepEqual([...batch.labels], [...batch.indices].map((index) => index % 3));
    assert.ok(batch.images instanceof ByteImages, "the device finishes them");
    const images = batch.images.floats();
    assert.equal(images.length, batch.indices.length * 8 * 8 * 3);
    assert.ok(images.every((value) => value >= 0 && value <= 1));
    assert.deepEqual([batch.height, batch.width, batch.skipped], [8, 8, []]);
  });
});

Deno.test("Loader.batches() gives a sample the same pixels for any workers, order, cache and prefetch", async () => {
  await using rig = await setUp();
  const expected = pixelsOf(await all(rig.loader.batches(planOf(), 4, { seed: 1 })));
  assert.equal(expected.size, IMAGE_FILES.length);
  const again = await all(rig.loader.batches(planOf(), 4, { seed: 1 }));
  assert.deepEqual(pixelsOf(again), expected, "from the cache");
  await using bare = await setUp({ cacheBytes: 0, prefetch: 9, concurrency: 1 });
  const shares: Batch[] = [];
  for (const rank of [2, 1, 0]) {
    const plan = planOf({ rank, worldSize: 3, globalBatch: 5, epoch: 7 });
    shares.push(...await all(bare.loader.batches(plan, 4, { seed: 1 })));
  }
  const sorted = new Map([...expected].sort(([a], [b]) => a - b));
  assert.deepEqual(new Map([...pixelsOf(shares)].sort(([a], [b]) => a - b)), sorted);
  const other = pixelsOf(await all(rig.loader.batches(planOf(), 5, { seed: 1 })));
  assert.ok([...other].some(([index, pixels]) => pixels !== expected.get(index)), "another epoch");
});

Deno.test("Loader.augmented() is what a batch holds, before it becomes floats", async () => {
  await using rig = await setUp();
  const expected = pixelsOf(await all(rig.loader.batches(planOf(), 2, { seed: 1 })));
  const { data } = await rig.loader.augmented(3, 2, 1);
  assert.equal(Float32Array.from(data, (byte) => byte / 255).join(), expected.get(3));
});

Deno.test("Loader.batches() doesn't read known samples, and gives the others as ever", async () => {
  const reads: string[] = [];
  await using rig = await setUp();
  const source = new ImageSource(rig.root, 1e6);
  const counting = {
    cheap: false,
    read: (sample: Sample) => {
      reads.push(sample.path);
      return source.read(sample);
    },
    [Symbol.dispose]: () => {},
  };
  await using known = await setUp({ source: counting, known: new Set([0, 3, 5]) });
  const pixels = pixelsOf(await all(known.loader.batches(planOf(), 0, { seed: 1 })));
  assert.deepEqual(reads.sort(), [1, 2, 4, 6].map((index) => IMAGE_FILES[index]).sort());
  const reference = pixelsOf(await all(rig.loader.batches(planOf(), 0, { seed: 1 })));
  assert.deepEqual([...pixels.keys()], [...reference.keys()]);
  for (const index of [1, 2, 4, 6]) {
    assert.equal(pixels.get(index), reference.get(index), IMAGE_FILES[index]);
  }
});

Deno.test("Loader.batches() marks the rows of known samples, and shows no image of them", async () => {
  await using rig = await setUp(
    { known: new Set([0, 3, 5]), onError: "skip" },
    { "lossy.webp": "broken" },
  );
  const plan = planOf({ shuffle: false, globalBatch: 4 });
  const batches = await all(rig.loader.batches(plan, 0, { seed: 1 }));
  assert.deepEqual(batches.map(({ indices, unread }) => [[...indices], unread]), [
    [[0, 1, 3], new Set([0, 2])], // row 2, of the broken image, is left out
    [[4, 5, 6], new Set([1])],
  ]);
  assert.throws(() => rig.loader.imagesOf(batches[1]), /Row 1 of the batch holds no image/);
  await using plain = await setUp();
  for (const batch of await all(plain.loader.batches(plan, 0, { seed: 1 }))) {
    assert.ok(!("unread" in batch));
    assert.equal(plain.loader.imagesOf(batch).length, batch.labels.length);
  }
  await assert.rejects(
    setUp({ known: new Set([0]), mix: [{ name: "MixUp", alpha: 1, probability: 1 }] as never }),
    /can't mix images and leave known ones unread/,
  );
});

Deno.test("Loader.batches() gives ranks without rows empty batches", async () => {
  await using rig = await setUp();
  const plan = planOf({ rank: 2, worldSize: 3, globalBatch: 2 });
  const batches = await all(rig.loader.batches(plan, 0, { seed: 1 }));
  assert.deepEqual(batches.map(({ indices }) => indices.length), [0, 0, 0, 0]);
});

const BROKEN = { "rgb.png": "<html>", "gray.png": "" };

Deno.test("Loader.batches() leaves out and lists broken images when told to skip", async () => {
  await using whole = await setUp();
  await using rig = await setUp({ onError: "skip" }, BROKEN);
  await Deno.remove(join(rig.root, "plain.gif"));
  for (const globalBatch of [1, 3, 7]) {
    const plan = planOf({ globalBatch });
    const batches = await all(rig.loader.batches(plan, 0, { seed: 1 }));
    assert.equal(batches.length, plan.length, "also those without a row");
    const skipped = batches.flatMap((batch) => batch.skipped).sort((a, b) => a.index - b.index);
    assert.deepEqual(skipped.map(({ index, path }) => [index, path]), [
      [1, "rgb.png"],
      [3, "plain.gif"],
      [6, "gray.png"],
    ]);
    assert.match(skipped[0].reason, /not a JPEG/);
    assert.match(skipped[1].reason, /missing/);
    const expected = pixelsOf(await all(whole.loader.batches(plan, 0, { seed: 1 })));
    for (const { index } of skipped) expected.delete(index);
    assert.deepEqual(pixelsOf(batches), expected);
    for (const { images, labels, indices } of batches) {
      assert.equal(floatsFrom(images).length, indices.length * 192);
      assert.equal(labels.length, indices.length);
    }
  }
});

Deno.test("Loader.batches() fails with the image's name when told to, after the batches before it", async () => {
  await using rig = await setUp({}, { "plain.gif": "GIF89a" });
  const seen: number[] = [];
  await assert.rejects(async () => {
    const plan = planOf({ shuffle: false, globalBatch: 2 });
    for await (const { step } of rig.loader.batches(plan, 0, { seed: 1 })) seen.push(step);
  }, (error) => error instanceof DataError && error.path === "plain.gif");
  assert.deepEqual(seen, [0]);
});

Deno.test("Loader.batches() names an image that a transform refuses", async () => {
  const pipeline = new TransformPipeline([{ Resize: { size: 20_000 } }, {
    CenterCrop: { size: [8, 8] },
  }]);
  await using rig = await setUp({ pipeline, onError: "skip" });
  const [batch] = await all(rig.loader.batches(planOf({ globalBatch: 7 }), 0, { seed: 1 }));
  assert.equal(batch.skipped.length, 7);
  assert.match(batch.skipped[0].reason, /Resize would make/);
});

Deno.test("Loader.batches() uses memory again when told to, and only then", async () => {
  await using rig = await setUp({ prefetch: 1 });
  for (const reuse of [true, false]) {
    const buffers: ArrayBufferLike[] = [];
    const plan = planOf({ globalBatch: 1 });
    for await (const { images } of rig.loader.batches(plan, 0, { seed: 1, reuse })) {
      buffers.push(memoryOf(images));
    }
    assert.equal(new Set(buffers).size < buffers.length, reuse);
  }
});

// Deno's test runner fails these when a file is left open or a promise unsettled.
Deno.test("Loader.batches() leaves nothing running after an early end", async () => {
  await using rig = await setUp({ prefetch: 3, cacheBytes: 0 });
  for await (const batch of rig.loader.batches(planOf({ globalBatch: 1 }), 0, { seed: 1 })) {
    assert.equal(batch.step, 0);
    break;
  }
  const batches = rig.loader.batches(planOf(), 0, { seed: 1 });
  await batches.next();
  await batches.return();
  assert.equal((await batches.next()).done, true);
});

Deno.test("Loader.batches() ends with the signal's reason, before or in mid-epoch", async () => {
  await using rig = await setUp({ cacheBytes: 0 });
  const stop = new AbortController();
  const reason = new Error("stop now");
  let count = 0;
  await assert.rejects(async () => {
    const options = { seed: 1, signal: stop.signal };
    for await (const _ of rig.loader.batches(planOf({ globalBatch: 1 }), 0, options)) {
      if (++count === 2) stop.abort(reason);
    }
  }, reason);
  assert.equal(count, 2);
  const late = rig.loader.batches(planOf(), 0, { seed: 1, signal: stop.signal });
  await assert.rejects(late.next(), reason);
});

Deno.test("Loader.batches() decodes at most prefetch batches ahead", async () => {
  await using rig = await setUp({ prefetch: 2, cacheBytes: 0 });
  const batches = rig.loader.batches(planOf({ globalBatch: 1, shuffle: false }), 0, { seed: 1 });
  await batches.next();
  // Steps 1 and 2 may be ready; the files of later ones have not been touched.
  for (const name of IMAGE_FILES.slice(3)) await Deno.remove(join(rig.root, name));
  await new Promise((resolve) => setTimeout(resolve, 50));
  const rest = [await batches.next(), await batches.next()];
  assert.deepEqual(rest.map(({ value }) => (value as Batch).step), [1, 2]);
  await assert.rejects(batches.next(), /plain\.gif.*missing/);
});

Deno.test("an image that there is no memory to read ends the iteration, skip or not", async () => {
  const cause = new RangeError("Array buffer allocation failed");
  const read = ({ path }: Sample) =>
    Promise.reject(new DataError(path, "it is cut off or damaged (JPEG)", { cause }));
  for (const onError of ["skip", "fail"] as const) {
    const source = { cheap: true, read, [Symbol.dispose]() {} };
    await using rig = await setUp({ onError, source });
    await assert.rejects(
      all(rig.loader.batches(planOf(), 0, { seed: 1 })),
      /^LockstepError: Memory ran out while "[^"]+" was read \(Array buffer allocation failed\).*: use a smaller/,
    );
  }
});

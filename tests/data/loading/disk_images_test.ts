import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { randomStream } from "../../../src/base/random.ts";
import type { RgbImage } from "../../../src/data/codecs/rgb_image.ts";
import { DiskBudget, setUsedBytes, usedBytes } from "../../../src/data/loading/disk_budget.ts";
import {
  createCounters,
  DiskCounters,
  type DiskUse,
} from "../../../src/data/loading/disk_counters.ts";
import {
  countEntries,
  DiskImages,
  type DiskImagesRecipe,
} from "../../../src/data/loading/disk_images.ts";
import type { SegmentPlace } from "../../../src/base/shared_memory.ts";
import type { Sample } from "../../../src/data/datasets/image_set.ts";
import { ImageSource } from "../../../src/data/datasets/image_source.ts";
import { Loader, type LoaderOptions } from "../../../src/data/loading/loader.ts";
import { LoaderThreads } from "../../../src/data/loading/loader_threads.ts";
import { planEpoch } from "../../../src/data/loading/sampler.ts";
import { floatsFrom } from "../../../src/data/transforms/byte_images.ts";
import { transformsSchema } from "../../../src/data/transforms/transform_specs.ts";
import { TransformPipeline } from "../../../src/data/transforms/transforms.ts";
import { openEngine } from "../../../src/engine/engine.ts";
import { withTemporaryFolder } from "../../support/temporary_folder.ts";

const IMAGES = new URL("../../fixtures/data/pictures/", import.meta.url);
const NAMES = ["baseline.jpg", "rgb.png", "lossy.webp", "plain.gif", "rgb.bmp", "exif_6.jpg"];
const TRAIN = transformsSchema.parse([
  { RandomResizedCrop: 12 },
  "RandomHorizontalFlip",
  { Normalize: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } },
]);
const VAL = transformsSchema.parse([{ Resize: 14 }, { CenterCrop: 12 }]);
/** Other transforms, of which the fixed ones are those of {@linkcode VAL}. */
const OTHER = transformsSchema.parse([
  { Resize: 14 },
  { CenterCrop: 12 },
  { ColorJitter: { brightness: 0.4 } },
  { Normalize: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] } },
]);
const FIXED = '[{"Resize":{"size":8}}]';

/** The time when the files of a test have long been as they are. */
const later = () => Date.now() + 60_000;

function open(recipe: DiskImagesRecipe, fixed = FIXED, counters?: SegmentPlace): DiskImages {
  return new DiskImages({ ...recipe, fixed, counters }, later);
}

function made(width: number, height: number, seed: number): RgbImage {
  const random = randomStream("disk", seed);
  const data = Uint8Array.from({ length: width * height * 3 }, () => Math.floor(256 * random()));
  return { width, height, data };
}

/** A folder with two files as images, and one for entries. */
function withFolder(action: (recipe: DiskImagesRecipe) => Promise<void> | void): Promise<void> {
  return withTemporaryFolder(async (folder) => {
    const recipe = {
      folder: join(folder, "entries"),
      limit: 1e9,
      root: join(folder, "images"),
      maxPixels: 100,
      decoder: "1",
      fixed: FIXED,
    };
    await Deno.mkdir(recipe.folder);
    await Deno.mkdir(recipe.root);
    for (const name of ["a.jpg", "b.jpg"]) {
      await Deno.writeTextFile(join(recipe.root, name), "text");
    }
    await action(recipe);
  });
}

async function entriesIn(folder: string): Promise<string[]> {
  const paths: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (!isDirectory) continue;
    for await (const entry of Deno.readDir(join(folder, name))) {
      paths.push(join(folder, name, entry.name));
    }
  }
  return paths.sort();
}

Deno.test("DiskImages gives back the pixels, and nothing where anything that they depend on differs", () =>
  withFolder(async (recipe) => {
    using images = open(recipe, FIXED);
    const [a, b] = [made(5, 7, 1), made(1, 1, 2)];
    const read = (other: DiskImagesRecipe = recipe, fixed = FIXED, path = "a.jpg") => {
      using fresh = open(other, fixed);
      return fresh.find(path)?.read();
    };
    assert.equal(read(), undefined);
    images.find("a.jpg")!.write(a);
    images.find("b.jpg")!.write(b);
    assert.deepEqual([read(), read(recipe, FIXED, "b.jpg")], [a, b]);
    assert.equal(images.find("missing.jpg"), undefined);
    assert.equal(read({ ...recipe, maxPixels: 99 }), undefined);
    assert.equal(read({ ...recipe, decoder: "2" }), undefined);
    assert.equal(read(recipe, "[]"), undefined);
    await Deno.mkdir(join(recipe.root, "c"));
    await Deno.link(join(recipe.root, "b.jpg"), join(recipe.root, "c/a.jpg"));
    assert.equal(read({ ...recipe, root: join(recipe.root, "c") }), undefined);

    const path = join(recipe.root, "a.jpg");
    const { mtime } = await Deno.stat(path);
    using early = new DiskImages(recipe);
    await Deno.writeTextFile(join(recipe.root, "d.jpg"), "text");
    early.find("d.jpg")!.write(a);
    assert.equal(read(recipe, FIXED, "d.jpg"), undefined, "it may be changed within its second");
    await new Promise((done) => setTimeout(done, 1010));
    await Deno.writeTextFile(path, "TEXT"); // as large, and of the same time again
    await Deno.utime(path, mtime!, mtime!);
    assert.equal(read(), undefined);
    images.find("a.jpg")!.write(b);
    assert.deepEqual(read(), b);
    await Deno.writeTextFile(path, "longer");
    assert.equal(read(), undefined);
    // Floats that are ready for the network aren't pixels.
    images.find("a.jpg")!.write({ ...b, data: new Uint8Array(), ready: new Float32Array(3) });
    assert.equal(read(), undefined);
  }));

Deno.test("DiskImages takes no entry that is damaged, cut off or another one, and makes it anew", () =>
  withFolder(async (recipe) => {
    using images = open(recipe, FIXED);
    const entry = images.find("a.jpg")!, image = made(3, 4, 1);
    entry.write(image);
    const [path] = await entriesIn(recipe.folder);
    const whole = await Deno.readFile(path);
    assert.equal(whole.length, 64 + 36);
    for (let at = 0; at < whole.length; at++) {
      for (const mask of [1, 128]) {
        const damaged = whole.slice();
        damaged[at] ^= mask;
        await Deno.writeFile(path, damaged);
        assert.equal(entry.read(), undefined, `byte ${at}`);
      }
    }
    for (const other of [whole.subarray(0, 99), new Uint8Array([...whole, 0]), new Uint8Array()]) {
      await Deno.writeFile(path, other);
      assert.equal(entry.read(), undefined);
    }
    images.find("b.jpg")!.write(made(3, 4, 2));
    const paths = await entriesIn(recipe.folder);
    await Deno.copyFile(paths.find((each) => each !== path)!, path);
    assert.equal(entry.read(), undefined, "the entry of another image");
    await Deno.remove(path);
    await Deno.mkdir(path);
    assert.equal(entry.read(), undefined, "a folder");
    await Deno.remove(path);
    entry.write(image);
    assert.deepEqual(entry.read(), image);
    assert.deepEqual(await Deno.readFile(path), whole);
  }));

Deno.test("writers together keep to the limit of the folder, and go on reading when it is full", () =>
  withFolder(async (recipe) => {
    const limited = { ...recipe, limit: 10_000 };
    const image = made(10, 10, 1); // 364 bytes with the head
    const segment = createCounters();
    const place = { path: segment.ownPath, bytes: segment.bytes };
    const counters = new DiskCounters(place);
    const writers = [0, 1, 2].map((index) => open(limited, `${index}`, place));
    for (let turn = 0; turn < 40; turn++) {
      const writer = writers[turn % 3];
      await Deno.writeTextFile(join(recipe.root, `${turn}.jpg`), "text");
      writer.find(`${turn}.jpg`)!.write(image);
    }
    const paths = await entriesIn(recipe.folder);
    assert.equal(paths.length, Math.floor(10_000 / 364));
    assert.equal(await countEntries(recipe.folder, Date.now()), paths.length * 364);
    assert.ok(writers.every((writer) => !writer.hasRoom(300)));
    assert.deepEqual(writers[0].find("0.jpg")!.read(), image);
    assert.equal(writers[1].find("39.jpg")!.read(), undefined);
    writers.forEach((writer) => writer[Symbol.dispose]());
    assert.equal(usedBytes(recipe.folder), paths.length * 364, "what wasn't used is given back");
    const { written, writtenBytes, hits, misses, failures } = counters.use;
    assert.deepEqual([written, writtenBytes], [paths.length, paths.length * 364]);
    assert.deepEqual([hits, misses, failures], [1, 1, 0]);
    segment[Symbol.dispose]();

    // Room that is made by hand is found when the folder is counted.
    await Deno.remove(paths[0]);
    await Deno.writeTextFile(`${paths[1]}.1.abc.tmp`, "left by a writer that was killed");
    setUsedBytes(recipe.folder, await countEntries(recipe.folder, Date.now() + 1000));
    using again = open(limited, "0");
    again.find("39.jpg")!.write(image);
    assert.deepEqual(again.find("39.jpg")!.read(), image);
    assert.deepEqual((await entriesIn(recipe.folder)).filter((path) => path.endsWith("tmp")), []);
    using small = open({ ...recipe, limit: 100 }, "0");
    assert.equal(small.hasRoom(37), false);
  }));

Deno.test("a writer that can't write says so once for all of a run, and the images are made", () =>
  withFolder(async (recipe) => {
    const segment = createCounters();
    const place = { path: segment.ownPath, bytes: segment.bytes };
    using reader = open(recipe, FIXED);
    const image = made(2, 2, 1);
    reader.find("a.jpg")!.write(image);
    const [path] = await entriesIn(recipe.folder);
    const lines: string[] = [];
    const { error } = console;
    console.error = (line: string) => lines.push(line);
    try {
      using first = open(recipe, FIXED, place);
      using second = open(recipe, "other", place);
      const entry = second.find("b.jpg")!;
      await Deno.remove(join(recipe.folder, "used-bytes"));
      await Deno.mkdir(join(recipe.folder, "used-bytes"));
      first.find("b.jpg")!.write(image);
      entry.write(image);
      assert.deepEqual([first.hasRoom(1), second.hasRoom(1)], [false, false]);
      assert.equal(entry.read(), undefined);
      assert.deepEqual(first.find("a.jpg")!.read(), image);
    } finally {
      console.error = error;
      segment[Symbol.dispose]();
    }
    assert.equal(lines.length, 1, lines.join("\n"));
    assert.match(lines[0], /^data\.cacheDir: no more images are written, .*used-bytes.*folder/);
    assert.ok(path);
  }));

Deno.test("DiskBudget waits for nobody that keeps the lock, and takes a damaged sum for none", () =>
  withFolder(async ({ folder }) => {
    const path = join(folder, "used-bytes");
    using budget = new DiskBudget(folder, 1000);
    assert.ok(budget.reserve(10));
    {
      using file = await Deno.open(path, { read: true, write: true });
      file.lockSync(true);
      assert.equal(budget.reserve(900), false);
      assert.equal(budget.isFull, false);
    }
    assert.ok(budget.reserve(900));
    assert.equal(budget.reserve(200), false);
    assert.equal(budget.isFull, true);
    await Deno.writeTextFile(path, "many");
    assert.equal(usedBytes(folder), undefined);
    setUsedBytes(folder, 990);
    assert.equal(usedBytes(folder), 990);
    using other = new DiskBudget(folder, 1000);
    assert.equal(other.reserve(11), false);
  }));

Deno.test("a loader's batches are the same with and without a folder of kept images, on threads or not", () =>
  withTemporaryFolder(async (folder) => {
    await openEngine();
    const root = join(folder, "images"), kept = join(folder, "kept");
    await Deno.mkdir(root);
    await Deno.mkdir(kept);
    const samples = NAMES.map((path, index): Sample => ({ path, label: index % 3, index }));
    for (const name of NAMES) await Deno.copyFile(new URL(name, IMAGES), join(root, name));
    await Deno.writeTextFile(join(root, "broken.jpg"), "no image");
    samples.push({ path: "broken.jpg", label: 0, index: NAMES.length });
    await new Promise((done) => setTimeout(done, 3_100)); // until the files' times tell what they hold
    const segment = createCounters();
    const place = { path: segment.ownPath, bytes: segment.bytes };
    const counters = new DiskCounters(place);
    await using threads = new LoaderThreads(2);

    const pass = async (
      transforms: typeof TRAIN,
      options: Partial<LoaderOptions>,
    ): Promise<string[]> => {
      const loader = new Loader({
        source: new ImageSource(root, 1e6),
        samples,
        pipeline: new TransformPipeline(transforms),
        onError: "skip",
        prefetch: 2,
        cacheBytes: 0,
        ...options,
      });
      const plan = planEpoch({
        ...{ length: samples.length, globalBatch: 3, rank: 0, worldSize: 1, seed: 1, epoch: 1 },
        shuffle: true,
      });
      const found: string[] = [];
      for await (const { images, labels, skipped } of loader.batches(plan, 1, { seed: 1 })) {
        const floats = floatsFrom(images);
        const bytes = new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
        const hash = createHash("sha256").update(bytes).digest("hex");
        found.push(`${hash} ${labels.join()} ${skipped.map(({ path }) => path).join()}`);
      }
      return found;
    };
    const disk = { folder: kept, limit: 1e9, counters: place };
    let before = counters.use;
    const count = (name: keyof DiskUse) => counters.use[name] - before[name];
    for (const [transforms, isShared] of [[TRAIN, false], [VAL, false], [OTHER, true]] as const) {
      const expected = await pass(transforms, {});
      assert.ok(expected.some((line) => line.endsWith("broken.jpg")));
      for (const [turn, pool] of [threads, undefined, threads].entries()) {
        before = counters.use;
        assert.deepEqual(await pass(transforms, { disk, threads: pool }), expected);
        const isNew = turn === 0 && !isShared;
        assert.equal(count("hits"), isNew ? 0 : NAMES.length, `turn ${turn}`);
        assert.equal(count("written"), isNew ? NAMES.length : 0, `turn ${turn}`);
        assert.equal(count("misses"), isNew ? NAMES.length + 1 : 1, "the broken one each time");
      }
    }
    // Full: the parts of images are decoded as without the folder.
    const full = { ...disk, limit: 1 };
    const others = transformsSchema.parse([{ Resize: 11 }, { RandomCrop: 9 }]);
    for (const pool of [threads, undefined]) {
      assert.deepEqual(await pass(others, { disk: full, threads: pool }), await pass(others, {}));
      assert.deepEqual(await pass(TRAIN, { disk: full, threads: pool }), await pass(TRAIN, {}));
    }
    segment[Symbol.dispose]();
  }));

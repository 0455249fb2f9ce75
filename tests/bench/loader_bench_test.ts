import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeBenchImages } from "../../src/bench/bench_images.ts";
import { benchLoader, simulateLoader } from "../../src/bench/loader_bench.ts";
import { UsageError } from "../../src/base/errors.ts";
import { decodeImage } from "../../src/data/codecs/decode.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { wonAtLeastOnce } from "../support/at_once.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const JPEGS = fileURLToPath(new URL("../fixtures/data/jpegs", import.meta.url));
const OPTIONS = { imageSize: 32, batch: 4, epochs: 2, threads: [1, 2], keep: false };

Deno.test("benchLoader() loads every image of a folder and times each part", async () => {
  const result = await benchLoader({ ...OPTIONS, data: JPEGS });
  assert.equal(
    (await benchLoader({ ...OPTIONS, data: JPEGS, keep: true })).images,
    result.images,
  );
  assert.equal(result.images, [...Deno.readDirSync(JPEGS)].length);
  const { speeds: [one, two], stages } = result;
  assert.deepEqual(Object.keys(stages!), ["read", "decode", "transform", "finish"]);
  assert.deepEqual([one.threads, two.threads, one.scaling], [1, 2, 1]);
  for (const { imagesPerSecond, imagesPerCoreSecond, range, mainMicroseconds } of [one, two]) {
    for (const figure of [imagesPerSecond, imagesPerCoreSecond, mainMicroseconds!]) {
      assert.ok(figure > 0 && Number.isFinite(figure), JSON.stringify(result));
    }
    assert.ok(range[0] <= imagesPerSecond && imagesPerSecond <= range[1]);
  }
  for (const figure of Object.values(stages!)) assert.ok(figure > 0, JSON.stringify(stages));
});

Deno.test("simulateLoader() shows 16 threads on fewer cores, and a main thread with little to do", async () => {
  const options = { images: 512, batch: 64, epochs: 2, simulatedCost: 20 };
  await wonAtLeastOnce(async () => {
    const { speeds } = await simulateLoader({ ...options, threads: [4, 16] });
    const [four, sixteen] = speeds;
    assert.deepEqual([four.threads, sixteen.threads], [4, 16]);
    // Sleeping takes as long as it does, but a busy machine wakes threads late.
    assert.ok(sixteen.imagesPerSecond <= 16 * 1000 / 20);
    console.log(`${sixteen.scaling} times as fast with 4 times the threads`);
    return sixteen.scaling > 2;
  });
});

Deno.test("benchLoader() refuses a folder without images", async () => {
  await withTemporaryFolder(async (folder) => {
    await assert.rejects(benchLoader({ ...OPTIONS, data: folder }), (error) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, /has no images/);
      return true;
    });
  });
});

Deno.test("makeBenchImages() writes as many images of 500 × 375 pixels as asked for", async () => {
  await openEngine();
  await withTemporaryFolder(async (folder) => {
    for (const place of ["train/a", "train/b", "val/a", "val/b"]) {
      await Deno.mkdir(join(folder, "photos", place), { recursive: true });
      await Deno.copyFile(join(JPEGS, "420.jpg"), join(folder, "photos", place, "a.jpg"));
    }
    const made = join(folder, "made");
    await Deno.mkdir(made);
    await makeBenchImages(join(folder, "photos"), made, 3);
    const names = [...Deno.readDirSync(made)].map(({ name }) => name).sort();
    assert.deepEqual(names, ["0000.jpg", "0001.jpg", "0002.jpg"]);
    for (const name of names) {
      const image = await decodeImage(await Deno.readFile(join(made, name)), { path: name });
      assert.deepEqual([image.width, image.height], [500, 375]);
    }
  });
});

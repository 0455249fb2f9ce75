import assert from "node:assert/strict";
import { join } from "node:path";
import { UsageError } from "../../../src/base/errors.ts";
import { scanCifar10 } from "../../../src/data/datasets/cifar10.ts";
import { cropRgb } from "../../../src/data/codecs/rgb_image.ts";
import { DataError } from "../../../src/data/codecs/data_error.ts";
import { Loader } from "../../../src/data/loading/loader.ts";
import { planEpoch } from "../../../src/data/loading/sampler.ts";
import { scanImages } from "../../../src/data/datasets/scan_images.ts";
import { TransformPipeline } from "../../../src/data/transforms/transforms.ts";
import { CIFAR_CLASSES, CIFAR_FILES, makeCifar } from "../../support/cifar.ts";
import { withTemporaryFolder } from "../../support/temporary_folder.ts";

const RECORD = 3073;

async function problemOf(root: string): Promise<string> {
  try {
    await scanCifar10(root);
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    return error.message;
  }
  assert.fail("the folder was accepted");
}

/** Makes data, changes one file, and returns the error's message. */
async function problemAfter(
  folder: string,
  name: string,
  change: (bytes: Uint8Array) => Uint8Array,
): Promise<string> {
  const { root } = await makeCifar(folder, { perBatch: 4 });
  const path = join(root, name);
  await Deno.writeFile(path, change(await Deno.readFile(path)));
  return await problemOf(root);
}

Deno.test("scanCifar10() lists the five batches and the test batch with labels and places", () =>
  withTemporaryFolder(async (folder) => {
    const { root } = await makeCifar(folder, { perBatch: 700 }); // more than is read at a time
    const { classes, train, val, fingerprint, source } = await scanCifar10(root);
    using _source = source;
    assert.deepEqual(classes, CIFAR_CLASSES);
    assert.deepEqual([train.length, val.length], [3500, 700]);
    assert.deepEqual(train.at(0)!, { path: "data_batch_1.bin#0", label: 0, index: 0 });
    assert.deepEqual(train.at(1523)!, { path: "data_batch_3.bin#123", label: 3, index: 1523 });
    assert.deepEqual(val.at(699)!, { path: "test_batch.bin#699", label: 9, index: 699 });
    assert.match(fingerprint, /^[0-9a-f]{64}$/);
    const above = await scanCifar10(folder);
    assert.equal(above.fingerprint, fingerprint, "the folder above it");
  }));

Deno.test("scanCifar10()'s source gives each record's planes as pixels, many at a time", () =>
  withTemporaryFolder(async (folder) => {
    const { root } = await makeCifar(folder, { perBatch: 12 });
    const set = await scanCifar10(root);
    using source = set.source;
    const samples = [...set.train, ...set.val];
    const images = await Promise.all(samples.map((sample) => source.read(sample)));
    for (const [at, { width, height, data }] of images.entries()) {
      const [name, record] = samples[at].path.split("#");
      const bytes = await Deno.readFile(join(root, name));
      const planes = bytes.subarray(Number(record) * RECORD + 1, (Number(record) + 1) * RECORD);
      assert.deepEqual([width, height, data.length], [32, 32, 3072]);
      const box = { left: 5, top: 7, width: 9, height: 4 };
      const part = await source.read(samples[at], (size) => {
        assert.deepEqual([size.width, size.height], [32, 32]);
        return box;
      });
      assert.deepEqual(part, cropRgb({ width, height, data }, box));
      for (const pixel of [0, 1, 31, 32, 1023]) {
        const expected = [planes[pixel], planes[1024 + pixel], planes[2048 + pixel]];
        assert.deepEqual([...data.subarray(3 * pixel, 3 * pixel + 3)], expected, samples[at].path);
      }
    }
  }));

Deno.test("scanCifar10() feeds a loader, which keeps none of its images", () =>
  withTemporaryFolder(async (folder) => {
    const { root } = await makeCifar(folder);
    const { val: samples, source } = await scanImages(root, { format: "cifar10" });
    using _source = source;
    const pipeline = new TransformPipeline([{ CenterCrop: { size: [32, 32] } }]);
    const loader = new Loader({ source, samples, pipeline, onError: "skip", prefetch: 2 });
    const epoch = async () => {
      const plan = planEpoch({
        length: samples.length,
        globalBatch: 6,
        rank: 0,
        worldSize: 1,
        seed: 0,
        epoch: 0,
        shuffle: true,
      });
      const seen: number[] = [], skipped: string[] = [];
      for await (const batch of loader.batches(plan, 0, { seed: 0 })) {
        seen.push(...batch.indices);
        skipped.push(...batch.skipped.map(({ reason }) => reason));
        batch.labels.forEach((label, at) =>
          assert.equal(label, samples.at(batch.indices[at])!.label)
        );
      }
      return { seen: seen.sort((a, b) => a - b), skipped };
    };
    assert.deepEqual(await epoch(), { seen: samples.map(({ index }) => index), skipped: [] });
    // A file that is changed under its reader is noticed, as it is read again.
    await Deno.truncate(join(root, "test_batch.bin"), 15 * RECORD);
    const { seen, skipped } = await epoch();
    assert.equal(seen.length, 15);
    assert.deepEqual(skipped, Array(5).fill("the file has changed since the start"));
  }));

Deno.test("scanCifar10()'s source names the record of a file that has gone", () =>
  withTemporaryFolder(async (folder) => {
    const { root } = await makeCifar(folder);
    const { train, source } = await scanCifar10(root);
    using _source = source;
    await Deno.remove(join(root, "data_batch_2.bin"));
    await assert.rejects(
      source.read(train.at(27)!),
      (error) =>
        error instanceof DataError && error.path === "data_batch_2.bin#7" &&
        /can't be read/.test(error.reason),
    );
  }));

Deno.test("scanCifar10()'s fingerprint tells a changed pixel, label and class name", () =>
  withTemporaryFolder(async (folder) => {
    const { root } = await makeCifar(folder);
    const { fingerprint } = await scanCifar10(root);
    for (const [name, at] of [["data_batch_5.bin", 1000], ["test_batch.bin", RECORD]] as const) {
      const path = join(root, name);
      const bytes = await Deno.readFile(path);
      const changed = bytes.slice();
      changed[at] = (changed[at] + 1) % 10;
      await Deno.writeFile(path, changed);
      assert.notEqual((await scanCifar10(root)).fingerprint, fingerprint);
      await Deno.writeFile(path, bytes);
    }
    assert.equal((await scanCifar10(root)).fingerprint, fingerprint);
    await Deno.writeTextFile(
      join(root, "batches.meta.txt"),
      CIFAR_CLASSES.join("\r\n").replace("frog", "toad"),
    );
    const renamed = await scanCifar10(root);
    assert.equal(renamed.classes[6], "toad");
    assert.notEqual(renamed.fingerprint, fingerprint);
  }));

Deno.test("scanCifar10() names a file that is missing, empty or cut short, with sizes and the cure", () =>
  withTemporaryFolder(async (folder) => {
    for (const name of CIFAR_FILES) {
      assert.match(
        await problemAfter(folder, name, (bytes) => bytes.subarray(0, 2 * RECORD + 17)),
        new RegExp(
          `"/.*/${name}" has 6163 bytes, which is no multiple of 3073: it is cut short or ` +
            "damaged after 2 whole images; fetch the archive again",
        ),
      );
      assert.match(
        await problemAfter(folder, name, () => new Uint8Array()),
        new RegExp(`${name}" is empty; fetch`),
      );
    }
    const { root } = await makeCifar(folder);
    await Deno.remove(join(root, "data_batch_2.bin"));
    await Deno.remove(join(root, "batches.meta.txt"));
    assert.match(
      await problemOf(root),
      /cifar-10-batches-bin" lacks batches\.meta\.txt, data_batch_2\.bin of CIFAR-10's binary/,
    );
    await Deno.mkdir(join(root, "data_batch_2.bin"));
    await Deno.writeTextFile(join(root, "batches.meta.txt"), CIFAR_CLASSES.join("\n"));
    assert.match(
      await problemOf(root),
      /data_batch_2\.bin" can't be read: it is a folder, where a file belongs; /,
    );
  }));

Deno.test("scanCifar10() names image and byte of a label that no class has", () =>
  withTemporaryFolder(async (folder) => {
    const problem = await problemAfter(folder, "data_batch_4.bin", (bytes) => {
      bytes[3 * RECORD] = 10;
      return bytes;
    });
    assert.match(
      problem,
      /data_batch_4\.bin": image 3 \(byte 9219\) has the label 10, but there are only .* 0 to 9/,
    );
  }));

Deno.test("scanCifar10() refuses other lists of classes", () =>
  withTemporaryFolder(async (folder) => {
    for (const [text, count] of [["a\nb\n", 2], ["", 0], ["same\n".repeat(10), 1]] as const) {
      assert.match(
        await problemAfter(folder, "batches.meta.txt", () => new TextEncoder().encode(text)),
        new RegExp(`batches\\.meta\\.txt" has ${count} different names of classes, .* expected 10`),
      );
    }
  }));

Deno.test("scanCifar10() says what it looks for where nothing of it is, or too much", () =>
  withTemporaryFolder(async (folder) => {
    assert.match(await problemOf(join(folder, "nowhere")), /nowhere" is missing; name the folder/);
    assert.match(
      await problemOf(folder),
      /has no files of CIFAR-10's binary version \(batches\.meta\.txt, .*data\.dataset to cifar10/,
    );
    await makeCifar(folder, { perBatch: 1 });
    await Deno.rename(join(folder, "cifar-10-batches-bin"), join(folder, "copy"));
    await makeCifar(folder, { perBatch: 1 });
    assert.match(await problemOf(folder), /has CIFAR-10 several times \(.*-bin", ".*copy"\)/);
  }));

Deno.test("scanImages() says that CIFAR-10's files are no image folder", () =>
  withTemporaryFolder(async (folder) => {
    const { root } = await makeCifar(folder, { perBatch: 1 });
    for (const place of [root, folder]) {
      await assert.rejects(
        scanImages(place),
        /holds the files of CIFAR-10, not folders of images: set data\.format to cifar10/,
      );
    }
  }));

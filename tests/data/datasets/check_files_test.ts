import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { UsageError } from "../../../src/base/errors.ts";
import { checkFiles, findUnusableFiles } from "../../../src/data/datasets/check_files.ts";
import { readImageHeader } from "../../../src/data/codecs/image_header.ts";
import {
  readFileRecord,
  unchangedFiles,
  writeFileRecord,
} from "../../../src/data/datasets/file_record.ts";
import type { ImageSet } from "../../../src/data/datasets/image_set.ts";
import { scanImageFolder } from "../../../src/data/datasets/image_folder.ts";
import { withTemporaryFolder } from "../../support/temporary_folder.ts";

const IMAGES = new URL("../../fixtures/data/pictures/", import.meta.url);
const KINDS = ["baseline.jpg", "rgb.png", "lossy.webp", "plain.gif", "rgb.bmp"];

/** A folder with `train/` and `val/` of classes a and b with a file of each format. */
async function makeFolder(root: string): Promise<void> {
  for (const side of ["train/a", "train/b", "val/a", "val/b"]) {
    await Deno.mkdir(join(root, side), { recursive: true });
    for (const kind of KINDS) {
      await Deno.copyFile(new URL(kind, IMAGES), join(root, side, kind));
    }
  }
}

async function put(root: string, files: Record<string, string | Uint8Array>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await Deno.mkdir(dirname(join(root, path)), { recursive: true });
    if (typeof content === "string") await Deno.writeTextFile(join(root, path), content);
    else await Deno.writeFile(join(root, path), content);
  }
}

const FOREIGN = {
  "train/a/page.jpg": "<html><body>not found</body></html>",
  "train/a/scan.tif": "II*\0 and more that is longer than 26 bytes",
  "train/b/plain.ppm": "P6 1 1 255 and more that is longer than 26 bytes",
  "val/a/zero.png": "",
  "val/b/cut.jpg": Uint8Array.of(0xff, 0xd8, 0xff, 0xe0, 0),
  "val/b/phone.jpg": "\0\0\0\x18ftypheic and more that is longer than 26 bytes",
};

Deno.test("findUnusableFiles() finds what no decoder can read, by the first bytes", () =>
  withTemporaryFolder(async (root) => {
    await makeFolder(root);
    await put(root, FOREIGN);
    await Deno.symlink("nowhere", join(root, "val/b/link.jpg"));
    const { train, val, source } = await scanImageFolder(root);
    using _source = source;
    assert.equal(train.length + val.length, 4 * KINDS.length + 7);
    const reasons = async (samples: typeof train) =>
      (await findUnusableFiles(root, samples)).map(({ sample, reason }) => [sample.path, reason]);
    assert.deepEqual(await reasons(train), [
      ["train/a/page.jpg", "it is not a JPEG, PNG, WebP, GIF or BMP file"],
      ["train/a/scan.tif", "TIFF files are not supported: convert it to JPEG or PNG"],
      ["train/b/plain.ppm", "PPM files are not supported: convert it to JPEG or PNG"],
    ]);
    assert.deepEqual(await reasons(val), [
      ["val/a/zero.png", "it is empty"],
      ["val/b/cut.jpg", "it is cut off after 5 bytes"],
      ["val/b/link.jpg", "the file is missing"],
      ["val/b/phone.jpg", "HEIC files are not supported: convert it to JPEG or PNG"],
    ]);
  }));

Deno.test("checkFiles() refuses, or warns of what is left out, with the cures", () =>
  withTemporaryFolder(async (root) => {
    await makeFolder(root);
    const clean = await scanImageFolder(root);
    assert.equal(await checkFiles(clean, { onError: "fail" }), undefined);
    await put(root, FOREIGN);
    const set = await scanImageFolder(root);
    await assert.rejects(checkFiles(set, { onError: "fail" }), (error: Error) => {
      assert.ok(error instanceof UsageError);
      assert.match(
        error.message,
        /^6 of 26 images of .* can't be used: "train\/a\/page\.jpg" \(it/,
      );
      assert.match(error.message, /"val\/a\/zero\.png" \(it is empty\).* and 1 more/);
      assert.match(error.message, / data\.onError=skip \(`deno task data check .*` lists/);
      return true;
    });
    const warning = await checkFiles(set, { onError: "skip" });
    assert.match(warning!, /^6 of 26 images .*they are left out, since data\.onError is skip/);
    for (const kind of KINDS) await Deno.truncate(join(root, "val/b", kind));
    await assert.rejects(
      checkFiles(await scanImageFolder(root), { onError: "skip" }),
      /class "b" has none left to validate: mend or remove them \(`deno task data check/,
    );
    await assert.rejects(
      checkFiles(set, { onError: "skip", signal: AbortSignal.abort(new Error("stopped")) }),
      /stopped/,
    );
  }));

/** A JPEG with so many bytes of metadata before its size. */
function withMetadata(jpeg: Uint8Array, bytes: number): Uint8Array<ArrayBuffer> {
  const parts = [jpeg.subarray(0, 2)];
  for (let left = bytes; left > 0; left -= 0xfffd) {
    const length = Math.min(left, 0xfffd) + 2;
    const segment = new Uint8Array(2 + length);
    segment.set([0xff, 0xe2, length >> 8, length & 0xff]);
    parts.push(segment);
  }
  return new Uint8Array([...parts, jpeg.subarray(2)].flatMap((part) => [...part]));
}

Deno.test("checkFiles() looks at pixels in the header of each format, wherever it stands", () =>
  withTemporaryFolder(async (root) => {
    await makeFolder(root);
    const jpeg = await Deno.readFile(new URL("baseline.jpg", IMAGES));
    for (const bytes of [5000, 70_000, 900_000, 2_000_000]) {
      await Deno.writeFile(
        join(root, "train/a", `metadata_${bytes}.jpg`),
        withMetadata(jpeg, bytes),
      );
    }
    const sizes = new Map<string, number>();
    for (const name of await Array.fromAsync(Deno.readDir(join(root, "train/a")))) {
      const bytes = await Deno.readFile(join(root, "train/a", name.name));
      const { width, height } = readImageHeader(bytes);
      sizes.set(`train/a/${name.name}`, width * height);
    }
    assert.equal(sizes.size, KINDS.length + 4);
    for (const pixels of new Set(sizes.values())) {
      for (const maxPixels of [pixels, pixels - 1]) {
        const { train, source } = await scanImageFolder(root, { maxPixels });
        using _source = source;
        const samples = train.filter(({ path }) => sizes.has(path));
        const found = await findUnusableFiles(root, samples, { maxPixels });
        assert.deepEqual(
          found.map(({ sample }) => sample.path),
          // A MiB of metadata is not read.
          samples.map(({ path }) => path)
            .filter((path) => sizes.get(path)! > maxPixels && !path.includes("2000000")),
        );
      }
    }
  }));

Deno.test("checkFiles() names images above maxPixels before the start, as decoding would, with the cures", () =>
  withTemporaryFolder(async (root) => {
    await makeFolder(root);
    const bytes = await Deno.readFile(new URL("rgb.png", IMAGES));
    new DataView(bytes.buffer).setUint32(16, 60_000);
    new DataView(bytes.buffer).setUint32(20, 50_000);
    await Deno.writeFile(join(root, "val/b/bomb.png"), bytes);
    const set = await scanImageFolder(root);
    using _source = set.source;
    const reason = "its 60000 × 50000 pixels are more than data\\.maxPixels \\(100000000\\)";
    const refusal = new RegExp(
      `1 of 21 images of .* can't be used: "val/b/bomb\\.png" \\(${reason}\\); mend or remove them, ` +
        "raise data\\.maxPixels, or leave them out with data\\.onError=skip \\(`deno task data check ",
    );
    await assert.rejects(checkFiles(set, { onError: "fail" }), refusal);
    const warning = await checkFiles(set, { onError: "skip" });
    assert.match(warning!, new RegExp(`^1 of 21 images .*${reason}.* they are left out`));
    const sample = set.val.find(({ path }) => path.endsWith("bomb.png"))!;
    await assert.rejects(set.source.read(sample), new RegExp(reason));
  }));

Deno.test("checkFiles() doesn't open files that are known to be usable, and opens those that have changed since", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeFolder(root);
    const set = await scanImageFolder(root);
    await writeFileRecord(folder, root, set.files!);
    const known = async ({ files }: ImageSet) =>
      await unchangedFiles((await readFileRecord(folder))!, files!);
    const all = await known(set);
    assert.deepEqual([all.length, all.every((each) => each === 1)], [set.files!.length, true]);
    // Nothing tells that these are other bytes now: so they weren't read.
    const [first, last] = [set.train.at(0)!, set.val.at(set.val.length - 1)!];
    for (const { path } of [first, last]) {
      const { size, mtime } = await Deno.stat(join(root, path));
      await Deno.writeFile(join(root, path), new Uint8Array(size));
      await Deno.utime(join(root, path), mtime!, mtime!);
    }
    const options = { onError: "fail" } as const;
    assert.equal(await checkFiles(set, { ...options, known: all }), undefined);
    await assert.rejects(checkFiles(set, options), /2 of \d+ images/);
    // A changed time, on either side, is reason enough to look.
    for (const { path } of [first, last]) {
      const later = new Date(Date.now() + 5000);
      await Deno.utime(join(root, path), later, later);
      const now = await scanImageFolder(root);
      const others = await known(now);
      await assert.rejects(checkFiles(now, { ...options, known: others }), (error: Error) => {
        return error.message.includes(`"${path}"`);
      });
    }
  }));

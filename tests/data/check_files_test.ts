import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { checkFiles, findUnusableFiles } from "../../src/data/check_files.ts";
import { scanImageFolder } from "../../src/data/image_folder.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const PICTURES = new URL("../fixtures/data/pictures/", import.meta.url);
const KINDS = ["baseline.jpg", "rgb.png", "lossy.webp", "plain.gif", "rgb.bmp"];

/** A folder with `train/` and `val/` of classes a and b with a file of each format. */
async function makeFolder(root: string): Promise<void> {
  for (const side of ["train/a", "train/b", "val/a", "val/b"]) {
    await Deno.mkdir(join(root, side), { recursive: true });
    for (const kind of KINDS) {
      await Deno.copyFile(new URL(kind, PICTURES), join(root, side, kind));
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
      assert.match(error.message, /--set data\.onError=skip \(`deno task data check .*` lists/);
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

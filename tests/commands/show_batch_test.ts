import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { Image } from "imagescript";
import { exists } from "../../src/base/paths.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runCommand, tinyConfig } from "../support/tiny_run.ts";

const SIDE = 160;

/** Makes images and a recipe, and runs `show-batch`. */
async function showBatch(folder: string, args: readonly string[], cache?: string) {
  const root = join(folder, "images");
  await makeImages(root, { side: SIDE, train: 4, val: 2 });
  const config = tinyConfig(root);
  const path = join(folder, "recipe.yaml");
  const data = {
    ...config.data,
    train: ["RandomHorizontalFlip", { CenterCrop: SIDE }],
    val: [{ CenterCrop: SIDE }],
  };
  await Deno.writeTextFile(path, stringify({ ...config, out: join(folder, "runs"), data }));
  return await runCommand(
    ["show-batch", "--config", path, ...args],
    folder,
    cache === undefined ? {} : { LOCKSTEP_CACHE: cache },
  );
}

/** An image's size, and in which places of a grid it isn't white. */
async function gridOf(path: string, columns: number) {
  const image = await Image.decode(await Deno.readFile(path)) as Image;
  const { width, height } = image;
  const cell = (width - 32 - 14 * (columns - 1)) / columns;
  return { width, height, cell };
}

Deno.test("show-batch writes a grid and prints its path, without a worker or a broker", () =>
  withTemporaryFolder(async (folder) => {
    const { code, stdout, stderr } = await showBatch(folder, ["--count", "6", "--columns", "3"]);
    assert.equal(code, 0, stderr);
    const path = join(folder, "runs", "show-batch.png");
    assert.equal(stdout, `${path}\n`);
    const { width, height, cell } = await gridOf(path, 3);
    assert.equal(cell, SIDE, `${width} × ${height}`);
    assert.ok(height > 2 * SIDE + 60 && height < 2 * SIDE + 160, `two rows in ${height}`);
    assert.deepEqual((await Array.fromAsync(Deno.readDir(join(folder, "runs")))).length, 1);
  }));

Deno.test("show-batch shows other images in another epoch and for another seed, and the same again", () =>
  withTemporaryFolder(async (folder) => {
    const shown: string[] = [];
    for (const args of [[], ["--epoch", "1"], ["--epoch", "2"], ["--seed", "5"], ["--val"]]) {
      const out = join(folder, `${shown.length}.png`);
      const { code, stderr, stdout } = await showBatch(folder, [...args, "--out", out]);
      assert.equal(code, 0, stderr);
      assert.equal(stdout.trim(), out);
      // Not the file's bytes: it ends in the time of its making.
      const { bitmap } = await Image.decode(await Deno.readFile(out)) as Image;
      shown.push(new Uint8Array(bitmap).toBase64());
    }
    assert.equal(shown[0], shown[1]);
    assert.equal(new Set(shown).size, 4);
  }));

Deno.test("show-batch --compare-epochs has a row for each image, and a column for each epoch", () =>
  withTemporaryFolder(async (folder) => {
    const out = join(folder, "epochs.png");
    const { code, stderr } = await showBatch(folder, [
      ...["--compare-epochs", "4", "--count", "2", "--out", out],
      ...["--set", "data.mix=[{CutMix: 1}]"],
    ]);
    assert.equal(code, 0, stderr);
    const { width, height } = await gridOf(out, 5);
    assert.ok(width >= 32 + 5 * SIDE + 4 * 14 && width < 5 * 280, `width ${width}`);
    assert.ok(height > 2 * SIDE + 60 && height < 2 * SIDE + 220, `two rows in ${height}`);
  }));

const WRONG_USE: [string[], RegExp][] = [
  [["--val", "--compare-epochs", "2"], /--compare-epochs is given with --val/],
  [["--val", "--epoch", "2"], /--epoch is given with --val/],
  [["--columns", "2", "--compare-epochs", "2"], /--columns is given with --compare-epochs/],
  [["--count", "401"], /401 images are asked for, but at most 400/],
  [["--compare-epochs", "100"], /404 images are asked for/],
  [["--count", "0"], /--count is 0/],
  [["--out", "recipe.yaml"], /--out is recipe\.yaml: name a file that ends in \.png/],
  [["--set", "data.trian=[]"], /data\.trian: did you mean data\.train\?/],
];
for (const [args, message] of WRONG_USE) {
  Deno.test(`show-batch refuses ${args.join(" ")} with exit code 2`, () =>
    withTemporaryFolder(async (folder) => {
      const { code, stdout, stderr } = await showBatch(folder, args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, message);
      assert.equal(stdout, "");
      assert.equal(await exists(join(folder, "runs")), false);
    }));
}

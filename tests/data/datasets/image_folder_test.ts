import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { loadConfig, loadRunConfig } from "../../../src/config/load.ts";
import type { LoadedConfig } from "../../../src/config/schema.ts";
import { scanData } from "../../../src/train/job.ts";
import type { List } from "../../../src/base/lazy_list.ts";
import { UsageError } from "../../../src/base/errors.ts";
import { scanImageFolder, type ScanOptions } from "../../../src/data/datasets/image_folder.ts";

/** A folder with files of the given relative paths, gone at the end of the scope. */
async function makeFolder(...paths: string[]) {
  const root = await Deno.makeTempDir();
  for (const path of paths) {
    await Deno.mkdir(dirname(join(root, path)), { recursive: true });
    if (path.endsWith("/")) await Deno.mkdir(join(root, path), { recursive: true });
    else await Deno.writeTextFile(join(root, path), path);
  }
  return { root, [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }) };
}

const PAIR = ["train/cat/a.jpg", "train/dog/b.jpg", "val/cat/c.jpg", "val/dog/d.jpg"];
const pathsOf = (samples: List<{ path: string }>) => samples.map(({ path }) => path);

async function problemOf(root: string, options?: ScanOptions): Promise<string> {
  try {
    await scanImageFolder(root, options);
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    return error.message;
  }
  assert.fail("the folder was accepted");
}

Deno.test("scanImageFolder() lists train/ and val/ in sorted order with labels and indices", async () => {
  await using folder = await makeFolder(...PAIR, "train/cat/Z.JPEG", "train/cat/deep/er/x.webp");
  const { classes, train, val } = await scanImageFolder(folder.root);
  assert.deepEqual(classes, ["cat", "dog"]);
  assert.deepEqual([...train], [
    { path: "train/cat/Z.JPEG", label: 0, index: 0 },
    { path: "train/cat/a.jpg", label: 0, index: 1 },
    { path: "train/cat/deep/er/x.webp", label: 0, index: 2 },
    { path: "train/dog/b.jpg", label: 1, index: 3 },
  ]);
  assert.deepEqual(pathsOf(val), ["val/cat/c.jpg", "val/dog/d.jpg"]);
});

Deno.test("scanImageFolder() takes torchvision's endings and GIF, and no other or hidden file", async () => {
  const images = ["jpg", "JPG", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp", "gif"];
  await using folder = await makeFolder(
    ...PAIR,
    ...images.map((ending) => `train/cat/p.${ending}`),
    ...["notes.txt", "x.jpg.part", ".jpg", "._a.jpg", "jpg", ".cache/y.jpg"].map((n) =>
      `train/cat/${n}`
    ),
    "train/.ipynb_checkpoints/z.jpg",
    "train/README.md",
  );
  const { train, classes } = await scanImageFolder(folder.root);
  assert.deepEqual(classes, ["cat", "dog"]);
  assert.equal(train.length, images.length + 2);
});

Deno.test("scanImageFolder() keeps odd names: spaces, quotes, line breaks, Unicode", async () => {
  const odd = [
    "a b.jpg",
    "q\"'.jpg",
    "line\nbreak.jpg",
    "größe 💙.jpg",
    "<img onerror=x>.jpg",
    "-.jpg",
  ];
  await using folder = await makeFolder(...PAIR, ...odd.map((name) => `train/cat/${name}`));
  const { train } = await scanImageFolder(folder.root);
  for (const name of odd) assert.ok(pathsOf(train).includes(`train/cat/${name}`), name);
  for (const { path } of train) await Deno.stat(join(folder.root, path));
});

Deno.test("scanImageFolder() sorts by code point, as Python does", async () => {
  await using folder = await makeFolder("\uffee/a.jpg", "\uffee/b.jpg", "💙/a.jpg", "💙/b.jpg");
  const { classes } = await scanImageFolder(folder.root, { valFraction: 0.5 });
  assert.deepEqual(classes, ["\uffee", "💙"]);
});

Deno.test("scanImageFolder() walks into a directory that is named like an image", async () => {
  await using folder = await makeFolder(...PAIR, "train/cat/x.jpg/inside.png");
  const { train } = await scanImageFolder(folder.root);
  assert.ok(pathsOf(train).includes("train/cat/x.jpg/inside.png"));
  assert.ok(!pathsOf(train).includes("train/cat/x.jpg"));
});

const MANY = Array.from({ length: 400 }, (_, i) => `${i % 2 ? "cat" : "dog"}/${i}.jpg`);

Deno.test("scanImageFolder() splits one folder by hash: about the fraction, disjoint, complete", async () => {
  await using folder = await makeFolder(...MANY);
  const { train, val } = await scanImageFolder(folder.root, { valFraction: 0.2 });
  assert.ok(val.length > 55 && val.length < 105, String(val.length));
  assert.deepEqual([...pathsOf(train), ...pathsOf(val)].sort(), MANY.toSorted());
  assert.deepEqual(train.map(({ index }) => index), train.map((_, i) => i));
  const other = await scanImageFolder(folder.root, { valFraction: 0.2, splitSeed: 1 });
  assert.notDeepEqual(pathsOf(other.val), pathsOf(val));
});

Deno.test("scanData() splits by data.splitSeed, whatever the run's seed is; an old run keeps its split", async () => {
  await using folder = await makeFolder(...MANY);
  const path = join(folder.root, "config.yaml");
  const write = (seed: number, data: string) =>
    Deno.writeTextFile(
      path,
      `{ name: a, seed: ${seed}, data: { root: ${
        JSON.stringify(folder.root)
      }, valFraction: 0.2, ${data}
        train: [{ Resize: [32, 32] }], val: [{ Resize: [32, 32] }] }, model: { name: plain_cnn }, train: { epochs: 1, batchSize: 8, lr: 0.1 } }`,
    );
  const valOf = async (config: LoadedConfig) => pathsOf((await scanData(folder.root, config)).val);
  await write(0, "");
  const expected = await valOf(await loadConfig(path));
  assert.deepEqual(await valOf(await loadConfig(path, [{ key: "seed", value: 7 }])), expected);
  const other = await valOf(await loadConfig(path, [{ key: "data.splitSeed", value: 7 }]));
  assert.notDeepEqual(other, expected);
  await write(7, ""); // as runs were made before there was data.splitSeed
  assert.deepEqual(await valOf(await loadRunConfig(path)), other);
  await write(7, "splitSeed: 0,");
  assert.deepEqual(await valOf(await loadRunConfig(path)), expected);
});

Deno.test("scanImageFolder() keeps every image on its side when others go", async () => {
  await using whole = await makeFolder(...MANY);
  await using half = await makeFolder(...MANY.slice(0, 200));
  const sides = await scanImageFolder(whole.root, { valFraction: 0.3 });
  const { val } = await scanImageFolder(half.root, { valFraction: 0.3 });
  assert.deepEqual(pathsOf(val), pathsOf(sides.val).filter((p) => MANY.indexOf(p) < 200));
});

Deno.test("scanImageFolder() leaves each class of a split an image on both sides", async () => {
  await using folder = await makeFolder(
    "cat/1.jpg",
    "cat/2.jpg",
    "dog/1.jpg",
    "dog/2.jpg",
    "eel/1.jpg",
  );
  for (const valFraction of [0.001, 0.999]) {
    const { train, val, warnings } = await scanImageFolder(folder.root, { valFraction });
    assert.deepEqual(train.map(({ label }) => label), [0, 1, 2]);
    assert.deepEqual(val.map(({ label }) => label), [0, 1]);
    assert.match(String(warnings), /^A class of .* one image only, which trains: .* "eel"; add/);
  }
});

Deno.test("scanImageFolder()'s fingerprint tells a renamed, changed or moved image", async () => {
  const of = async (...paths: string[]) => {
    await using folder = await makeFolder(...paths);
    return (await scanImageFolder(folder.root)).fingerprint;
  };
  const print = await of(...PAIR);
  assert.match(print, /^[0-9a-f]{64}$/);
  assert.equal(await of(...PAIR.toReversed()), print);
  assert.notEqual(await of(...PAIR, "train/cat/e.jpg"), print);
  assert.notEqual(await of(...PAIR.slice(1), "train/cat/x.jpg"), print);
  await using changed = await makeFolder(...PAIR);
  await Deno.writeTextFile(join(changed.root, PAIR[0]), "longer than its own path");
  assert.notEqual((await scanImageFolder(changed.root)).fingerprint, print);
});

Deno.test("scanImageFolder() refuses classes that differ between train and val, listing both", async () => {
  await using folder = await makeFolder(
    ...PAIR,
    "train/eel/a.jpg",
    "val/fox/a.jpg",
    "val/owl/a.jpg",
  );
  assert.match(
    await problemOf(folder.root),
    /differ: only train\/ has "eel"; only val\/ has "fox", "owl"; give both/,
  );
});

Deno.test("scanImageFolder() refuses an empty class, a single class, and no class", async () => {
  await using empty = await makeFolder(...PAIR, "train/eel/", "val/eel/a.jpg");
  assert.match(await problemOf(empty.root), /Class folder ".*train\/eel" has no images/);
  await using single = await makeFolder(PAIR[0], PAIR[2]);
  assert.match(await problemOf(single.root), /has one class only \("cat"\)/);
  await using none = await makeFolder("a.jpg", "b.jpg");
  assert.match(await problemOf(none.root, { valFraction: 0.5 }), /has no class folders/);
  await using alone = await makeFolder("cat/a.jpg", "dog/b.jpg");
  assert.match(
    await problemOf(alone.root, { valFraction: 0.5 }),
    /No class of .* has a second image/,
  );
});

Deno.test("scanImageFolder() names what is missing of root, train/ and val/", async () => {
  await using folder = await makeFolder("cat/a.jpg", "train/cat/a.jpg", "train/dog/a.jpg");
  assert.match(await problemOf(join(folder.root, "nowhere")), /is missing: .* data\.root/);
  assert.match(await problemOf(folder.root), /has train\/ but no val\//);
  assert.match(
    await problemOf(join(folder.root, "train")),
    /has no train\/ and val\/.*valFraction/,
  );
  assert.match(
    await problemOf(join(folder.root, "cat/a.jpg")),
    /a\.jpg" is no folder: name a folder/,
  );
  await using pair = await makeFolder(...PAIR);
  assert.match(await problemOf(pair.root, { valFraction: 0.2 }), /holds train\/ and val\/ already/);
});

Deno.test("scanImageFolder() follows links, refuses circles, and leaves dead links to the loader", async () => {
  await using folder = await makeFolder(...PAIR, "elsewhere/e.jpg");
  const cat = join(folder.root, "train/cat");
  await Deno.symlink(join(folder.root, "elsewhere"), join(cat, "linked"));
  await Deno.symlink(join(folder.root, "gone.jpg"), join(cat, "dead.jpg"));
  const { train } = await scanImageFolder(folder.root);
  assert.deepEqual(pathsOf(train).slice(0, 3), [
    "train/cat/a.jpg",
    "train/cat/dead.jpg",
    "train/cat/linked/e.jpg",
  ]);
  await Deno.symlink(join(folder.root, "train"), join(cat, "round"));
  assert.match(await problemOf(folder.root), /train\/cat\/round.* is a link to .*remove the link/);
  await Deno.remove(join(cat, "round"));
  await Deno.symlink(join(cat, "self"), join(cat, "self"));
  assert.match(await problemOf(folder.root), /Folder ".*train\/cat" can't be read/);
});

Deno.test({
  name: "scanImageFolder() names a folder that can't be read",
  ignore: Deno.uid() === 0, // everything is readable to root
  async fn() {
    await using folder = await makeFolder(...PAIR);
    const closed = join(folder.root, "val/dog");
    await Deno.chmod(closed, 0);
    const problem = await problemOf(folder.root);
    await Deno.chmod(closed, 0o700);
    assert.match(problem, /Folder ".*val\/dog" can't be read/);
  },
});

Deno.test("scanImageFolder() takes Train/ for train/, NFC for NFD, and JPEGs by all their endings", async () => {
  const composed = "caf\u00e9", decomposed = "cafe\u0301";
  await using folder = await makeFolder(
    `Train/${composed}/a.jfif`,
    `Train/${composed}/b.JPE`,
    "Train/dog/c.pjpeg",
    `VAL/${decomposed}/d.jpg`,
    "VAL/dog/e.jpg",
    "VAL/__MACOSX/._e.jpg",
  );
  const { classes, train, val, warnings } = await scanImageFolder(folder.root);
  assert.deepEqual(classes, [composed, "dog"]);
  assert.deepEqual(train.map(({ path, label }) => [path, label]), [
    [`Train/${composed}/a.jfif`, 0],
    [`Train/${composed}/b.JPE`, 0],
    ["Train/dog/c.pjpeg", 1],
  ]);
  assert.deepEqual(val.map(({ path, label }) => [path, label]), [
    [`VAL/${decomposed}/d.jpg`, 0],
    ["VAL/dog/e.jpg", 1],
  ]);
  assert.equal(warnings, undefined);
  await using both = await makeFolder(...PAIR, "Train/cat/a.jpg");
  assert.deepEqual(pathsOf((await scanImageFolder(both.root)).train), PAIR.slice(0, 2));
});

Deno.test("scanImageFolder() says what it leaves out, with counts", async () => {
  await using folder = await makeFolder(
    ...PAIR,
    ...["1.heic", "2.HEIC", "notes.txt", "Thumbs.db", ".hidden.jpg"].map((name) =>
      `train/cat/${name}`
    ),
    "val/stray.jpg",
    "about.json",
  );
  const { warnings } = await scanImageFolder(folder.root);
  assert.deepEqual(warnings, [
    `Left out of ${JSON.stringify(folder.root)}: 1 file outside of the class folders, ` +
    "3 files without an ending that is read (2 .heic, 1 .txt); " +
    "convert .heic files to JPEG or PNG to use them",
  ]);
});

Deno.test("scanImageFolder() names a folder whose name isn't UTF-8, with the cure", async () => {
  await using folder = await makeFolder(...PAIR);
  const script = "mkdir \"$1/train/$(printf 'caf\\351')\" \"$1/val/$(printf 'caf\\351')\"";
  const made = await new Deno.Command("sh", { args: ["-c", script, "sh", folder.root] }).output();
  assert.ok(made.success);
  assert.match(await problemOf(folder.root), /caf\ufffd" has a name that isn't UTF-8.*convmv/);
});

Deno.test("scanImageFolder() proposes the folder that validates, never the test set", async () => {
  await using folder = await makeFolder(
    ...PAIR.map((path) => path.replace("val/", "test/")),
    ...["Valid/cat/c.jpg", "Valid/dog/d.jpg"],
  );
  assert.match(await problemOf(folder.root), /--set data\.valFolder=Valid$/);
});

Deno.test("scanImageFolder() takes folders of other names, and says how to name them", async () => {
  const paths = PAIR.map((path) => path.replace("val/", "test/"));
  await using folder = await makeFolder(...paths);
  const { train, val } = await scanImageFolder(folder.root, { valFolder: "test" });
  assert.deepEqual(pathsOf(train), PAIR.slice(0, 2));
  assert.deepEqual(pathsOf(val), ["test/cat/c.jpg", "test/dog/d.jpg"]);
  assert.match(
    await problemOf(folder.root),
    /has train\/ but no val\/: split train\/ with --set data\.root=.*\/train .*keep test\/ for deno task/,
  );
  assert.match(
    await problemOf(folder.root, { trainFolder: "learn", valFolder: "check" }),
    /has no learn\/ and check\/: make both .*data\.trainFolder and data\.valFolder/,
  );
  assert.match(
    await problemOf(folder.root, { valFolder: "test", valFraction: 0.2 }),
    /holds train\/ and test\/ already/,
  );
  await using uneven = await makeFolder(...paths, "test/eel/a.jpg");
  assert.match(
    await problemOf(uneven.root, { valFolder: "test" }),
    /"\/.*\/train" and "\/.*\/test" differ: only train\/ has none .*; only test\/ has "eel"/,
  );
});

Deno.test("scanImageFolder()'s source refuses images above maxPixels", async () => {
  await using folder = await makeFolder(...PAIR);
  const image = new URL("../../fixtures/data/pictures/rgb.png", import.meta.url);
  await Deno.copyFile(image, join(folder.root, "train/cat/a.jpg"));
  const { train, source } = await scanImageFolder(folder.root, { maxPixels: 10 });
  using _source = source;
  await assert.rejects(source.read(train.at(0)!), /more than data\.maxPixels \(10\)/);
});

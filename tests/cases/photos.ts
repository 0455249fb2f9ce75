/**
 * Cases of a user's own photos: where they may lie, and what is said where they can't be used.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UsageError } from "../../src/base/errors.ts";
import { loadConfig } from "../../src/config/load.ts";
import { parseOverride } from "../../src/config/override.ts";
import { ensureDataRoot } from "../../src/provision/data_root.ts";
import { createRunFolder } from "../../src/records/run_folder.ts";
import { scanData } from "../../src/train/job.ts";
import { type Files, zipOf } from "../support/archives.ts";
import { withVariables } from "../support/environment.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import type { Case } from "./case.ts";

const DEFAULT = fileURLToPath(new URL("../../configs/default.yaml", import.meta.url));

/** Files of a small set of photos; their content is looked at only when a run starts. */
const SIDES = ["train", "val"].flatMap((side) =>
  ["cat", "dog"].flatMap((name) => [`${side}/${name}/1.jpg`, `${side}/${name}/2.jpg`])
);
const CLASSES = ["cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/2.jpg"];

async function write(root: string, paths: readonly string[]): Promise<void> {
  await Deno.mkdir(root, { recursive: true });
  for (const path of paths) {
    await Deno.mkdir(join(root, path, ".."), { recursive: true });
    await Deno.writeTextFile(join(root, path), path);
  }
}

function zip(paths: readonly string[]): Promise<Uint8Array> {
  return zipOf(Object.fromEntries(paths.map((path) => [path, path])) as Files);
}

/** Returns the config, the data set and the notes of the default recipe with settings. */
async function found(sets: readonly string[]) {
  const notes: string[] = [];
  const overrides = sets.map(parseOverride);
  const config = await loadConfig(DEFAULT, overrides, { onNote: (note) => notes.push(note) });
  const folder = await scanData(await ensureDataRoot(config.data, () => {}), config);
  using _source = folder.source;
  return { config, folder, notes };
}

/** Returns the message with which settings are refused. */
async function refusal(sets: readonly string[]): Promise<string> {
  const error = await found(sets).then(() => undefined, (thrown) => thrown);
  assert.ok(error instanceof UsageError, `refused with ${sets.join(" ")}: ${error}`);
  assert.ok(!error.message.includes("\n"), error.message);
  return error.message;
}

/** Runs `use` with a folder that is the home, the cache, and the place of the photos. */
function withPhotos(use: (folder: string) => Promise<void>): () => Promise<void> {
  return () =>
    withTemporaryFolder(async (folder) => {
      using _places = withVariables({ HOME: folder, LOCKSTEP_CACHE: join(folder, "cache") });
      await use(folder);
    });
}

/** A place of photos that `data.root` alone reaches. */
function read(name: string, place: string, root: (folder: string) => string): Case {
  return {
    name: `photos: ${name}`,
    must: "data.root alone is enough, and the run is named after it",
    run: withPhotos(async (folder) => {
      await write(join(folder, place), SIDES);
      const { config, folder: { classes, train, val }, notes } = await found([
        `data.root=${root(folder)}`,
      ]);
      assert.deepEqual(classes, ["cat", "dog"]);
      assert.deepEqual([train.length, val.length], [4, 4]);
      assert.equal(config.name, place.trim());
      assert.equal(config.data.root, join(folder, place));
      assert.match(notes.join(), /left out of .*default\.yaml.*: data\.dataset \(food-groups\)/);
      const run = await createRunFolder(join(folder, "runs"), config.name);
      assert.match(run, /\/\d{8}-\d{6}-[\p{L}\p{M}\d._-]+$/u);
    }),
  };
}

/** Photos that can't be used as they are. */
function refused(
  name: string,
  paths: readonly string[],
  sets: (root: string) => string[],
  expected: (root: string) => string,
): Case {
  return {
    name: `photos: ${name}`,
    must: "one sentence says what is there and what to do",
    run: withPhotos(async (folder) => {
      const root = join(folder, "my photos");
      await write(root, paths);
      assert.equal(await refusal(sets(root)), expected(root));
    }),
  };
}

const only = (root: string) => [`data.root=${root}`];
const split = (root: string) => [...only(root), "data.valFraction=0.5"];

/** The cases. */
export const CASES: Case[] = [
  read("a folder with blanks", "my photos", (folder) => `${folder}/my photos`),
  read("a trailing slash", "photos", (folder) => `${folder}/photos/`),
  read("~ in quotes", "photos", () => "'~/photos'"),
  read("letters of all scripts", "naïve 図 Fotos", () => "~/naïve 図 Fotos"),
  read("a file: URL", "photos", (folder) => `file://${folder}/photos`),
  read("a folder named pretrained", "pretrained", () => "~/pretrained"),
  {
    name: "photos: a link to a folder",
    must: "is followed, and names the run",
    run: withPhotos(async (folder) => {
      await write(join(folder, "elsewhere"), SIDES);
      await Deno.symlink(join(folder, "elsewhere"), join(folder, "holiday"));
      const { config, folder: { train } } = await found([`data.root=${folder}/holiday`]);
      assert.deepEqual([config.name, train.length], ["holiday", 4]);
    }),
  },
  refused(
    "images without folders",
    ["1.jpg", "2.png", "3.gif"],
    only,
    (root) =>
      `Folder "${root}" has no class folders, only 3 images: it takes a folder of images for each class, either under ` +
      "train/ and val/, or, with data.valFraction, all together",
  ),
  refused(
    "images without folders, split",
    ["1.jpg"],
    split,
    (root) =>
      `Folder "${root}" has no class folders, only 1 image: it takes a folder of images for each class, either under ` +
      "train/ and val/, or, with data.valFraction, all together",
  ),
  refused(
    "an empty folder",
    [],
    only,
    (root) =>
      `Folder "${root}" has no class folders: it takes a folder of images for each class, either under ` +
      "train/ and val/, or, with data.valFraction, all together",
  ),
  refused(
    "one class",
    ["cat/1.jpg", "cat/2.jpg"],
    only,
    (root) =>
      `Folder "${root}" has one folder only ("cat"): make a folder of images for each of at least two classes`,
  ),
  refused(
    "one class, split",
    ["cat/1.jpg", "cat/2.jpg"],
    split,
    (root) =>
      `Folder "${root}" has one class only ("cat"): make a folder of images for each of at least two classes`,
  ),
  refused(
    "one class under train/",
    ["train/cat/1.jpg", "val/cat/2.jpg"],
    only,
    (root) =>
      `Folder "${root}/train" has one class only ("cat"): make a folder of images for each of at least two ` +
      "classes",
  ),
  refused(
    "the folder above",
    SIDES.map((path) => `holiday/${path}`),
    only,
    (root) =>
      `Folder "${root}" has one folder only ("holiday"): name that with --set 'data.root=${root}/holiday'`,
  ),
  refused(
    "the folder above classes",
    CLASSES.map((path) => `holiday/${path}`),
    only,
    (root) =>
      `Folder "${root}" has one folder only ("holiday"): split it with --set 'data.root=${root}/holiday' ` +
      "--set data.valFraction=0.2",
  ),
  refused(
    "nothing",
    [],
    (root) => only(`${root}/none`),
    (root) => `Folder "${root}/none" is missing: name an existing folder with data.root`,
  ),
  refused(
    "a file",
    ["1.jpg"],
    (root) => only(`${root}/1.jpg`),
    (root) =>
      `The file ${root}/1.jpg (5 bytes) is no archive: give a folder, or a .tar.gz, .tgz, .tar or .zip file`,
  ),
  refused(
    "nothing said",
    [],
    () => ["data.root="],
    () => '--set data.root: data.root is "": name a folder',
  ),
  refused(
    "an address",
    [],
    () => ["data.root=https://example.org/photos.zip"],
    () =>
      '--set data.root: data.root is "https://example.org/photos.zip": it is an address, and this takes files of ' +
      "this machine: fetch it, and name the file or folder",
  ),
  {
    name: "photos: a link to nothing",
    must: "is called so",
    run: withPhotos(async (folder) => {
      await Deno.symlink(join(folder, "gone"), join(folder, "link"));
      assert.equal(
        await refusal(["data.root=~/link"]),
        `Folder "${folder}/link" is a link to nothing: name an existing folder with data.root`,
      );
    }),
  },
  {
    name: "photos: an archive that can't be used as it is",
    must: "errors name the archive, and cures that name folders in it work",
    run: withPhotos(async (folder) => {
      const archive = join(folder, "my photos.zip");
      await Deno.writeFile(
        archive,
        await zip(CLASSES.map((path) => `holiday/train/${path}`).concat("holiday/test/cat/1.jpg")),
      );
      const message = await refusal([`data.root=${archive}`]);
      assert.ok(!message.includes("cache"), message);
      const cure = `--set 'data.root=${archive}/train' --set data.valFraction=0.2`;
      assert.ok(
        message.startsWith(`Folder "${archive}" has train/ but no val/: split train/ with ${cure}`),
      );
      const { folder: { classes } } = await found([
        `data.root=${archive}/train`,
        "data.valFraction=0.2",
      ]);
      assert.deepEqual(classes, ["cat", "dog"]);
      assert.equal(
        await refusal([`data.root=${archive}/none`]),
        `Folder "${archive}/none" is missing: name an existing folder with data.root`,
      );
      for (
        const [paths, expected] of [
          [["a.jpg", "b.jpg"], `Folder "${archive}" has no class folders, only 2 images: `],
          [
            ["train/cat/1.jpg", "val/cat/1.jpg"],
            `Folder "${archive}/train" has one class only ("cat")`,
          ],
          [
            ["train/a/1.jpg", "val/b/1.jpg"],
            `The classes of "${archive}/train" and "${archive}/val" differ`,
          ],
          [
            ["train/a/1.jpg", "train/b/x.txt", "val/a/1.jpg", "val/b/1.jpg"],
            `Class folder "${archive}/train/b"`,
          ],
        ] as const
      ) {
        await Deno.writeFile(archive, await zip(paths));
        const refused = await refusal([`data.root=${archive}`]);
        assert.ok(refused.startsWith(expected), refused);
      }
      await Deno.writeTextFile(archive, "PK no archive");
      assert.ok(
        (await refusal([`data.root=${archive}`])).startsWith(
          `The archive ${archive} can't be unpacked`,
        ),
      );
    }),
  },
  {
    name: "photos: a run's name with blanks",
    must: "is shown as it is, and made a file's name",
    run: withPhotos(async (folder) => {
      await write(join(folder, "photos"), SIDES);
      const { config } = await found(["data.root=~/photos", 'name="My photos"']);
      assert.equal(config.name, "My photos");
      assert.match(await createRunFolder(folder, config.name), /\d-My-photos$/);
      assert.match(
        await refusal(["data.root=~/photos", "name=a\x1b[31mb"]),
        /^--set name: name is "a\\u001b\[31mb": use 1 to 80 characters, none of them a line break/,
      );
    }),
  },
];

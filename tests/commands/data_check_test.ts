import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { readDataCheck } from "../../src/data_check/record.ts";
import { KINDS } from "../../src/data_check/kinds.ts";
import { zipOf } from "../support/archives.ts";
import { makeFaultyImages } from "../support/faulty_images.ts";
import { makeScenes, put, sceneJpeg } from "../support/scenes.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runDeno } from "../support/run_deno.ts";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const TASKS = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json"))).tasks;

/** Runs `data check` with the rights that deno.json gives it. */
async function dataCheck(folder: string, args: string[], env: Record<string, string> = {}) {
  const [program, ...words] = TASKS.data.command.split(" ");
  assert.equal(program, "deno");
  return await runDeno([
    ...words.map((word: string) => word === "src/cli.ts" ? join(ROOT, word) : word),
    "check",
    ...args,
  ], { cwd: folder, env: { ...env } });
}

/** Width and height of a PNG. */
async function pngSize(path: string): Promise<[number, number]> {
  const bytes = await Deno.readFile(path);
  assert.deepEqual([...bytes.subarray(1, 4)], [0x50, 0x4e, 0x47]);
  const view = new DataView(bytes.buffer);
  return [view.getUint32(16), view.getUint32(20)];
}

Deno.test("runDataCheck() finds every kind of fault, and ends with exit code 1", () =>
  withTemporaryFolder(async (folder) => {
    const expected = await makeFaultyImages(join(folder, "photos"));
    const { code, stdout, stderr } = await dataCheck(folder, ["photos"]);
    assert.equal(code, 1, stdout + stderr);
    assert.equal(stderr, "");
    const out = join(folder, "data-check/photos");
    const record = await readDataCheck(out);
    const found: Record<string, string[][]> = {};
    for (const { kind, files } of record.findings) (found[kind] ??= []).push(files);
    assert.deepEqual(found, expected);
    const total = Object.values(expected).reduce((sum, { length }) => sum + length, 0);
    const { error, warning, note } = record.counts;
    assert.equal(error + warning + note, total);
    for (const { kind, count, severity } of record.kinds) {
      assert.equal(count, expected[kind].length);
      assert.equal(severity, KINDS[kind].severity);
    }
    assert.deepEqual(record.sides, ["train", "val"]);
    assert.deepEqual(record.classes.map(({ name }) => name), ["Dog ", "bird", "cat", "dog"]);
    assert.ok(record.complete);
    const reasons = Object.fromEntries(
      record.findings.map(({ files, detail }) => [files[0], detail]),
    );
    assert.equal(reasons["train/cat/cut.jpg"], "cut off (JPEG)");
    assert.equal(reasons["train/cat/cut.png"], "cut off (PNG)");
    assert.equal(reasons["train/cat/cut.webp"], "cut off (WebP)");
    assert.equal(reasons["train/cat/bad.png"], "damaged (PNG)");
    assert.equal(reasons["train/cat/twelve_bits.jpg"], "a JPEG of 12 bits per channel");
    assert.match(reasons["train/cat/inside.jpg"], /^Corrupt JPEG data: \d+ extraneous bytes/);
    assert.match(
      reasons["train/cat/bomb.png"],
      /^2147483647 × 2147483647 pixels, more than 100000000$/,
    );
    assert.equal(reasons["train/dog/photo.jpg_large"], "its content is JPEG");

    // What the terminal gets has no escape sequence and no line that a name broke.
    // deno-lint-ignore no-control-regex -- control characters are what is looked for
    assert.doesNotMatch(stdout, /[\x00-\x09\x0b-\x1f\x7f]/);
    assert.ok(stdout.includes(String.raw`train/dog/a\x1b]0;owned\x07\n\x1b[31mred.jpg`), stdout);
    assert.match(
      stdout,
      /^error: exact copy in train and val \(leakage\) \(1; 1 file too many\)$/m,
    );
    assert.match(stdout, /^ {2}train\/cat\/leak\.jpg = val\/cat\/leak\.jpg$/m);
    assert.match(stdout, /^class +train +val +share +unusable$/m);
    const [width, height] = await pngSize(join(out, "data-check.png"));
    assert.equal(width, 2200);
    assert.ok(height > 1500, `${height} with pairs`);
  }));

Deno.test("runDataCheck() --json prints the report alone; warnings alone give exit code 0", () =>
  withTemporaryFolder(async (folder) => {
    await makeScenes(join(folder, "photos"));
    const twice = await sceneJpeg(1);
    await put(folder, "photos/train/cat/a.jpg", twice);
    await put(folder, "photos/train/cat/b.jpg", twice);
    const { code, stdout } = await dataCheck(folder, ["photos", "--json", "--out", "there"]);
    assert.equal(code, 0, stdout);
    const printed = JSON.parse(stdout);
    assert.deepEqual(printed, await readDataCheck(join(folder, "there")));
    assert.deepEqual(printed.counts, { error: 0, warning: 1, note: 0 });
    assert.deepEqual(printed.findings[0].files, ["train/cat/a.jpg", "train/cat/b.jpg"]);
    assert.deepEqual(printed.pictures, { train: 10, val: 4, unusable: 0 });
  }));

Deno.test("runDataCheck() takes a .zip of a single folder of classes", () =>
  withTemporaryFolder(async (folder) => {
    const files: Record<string, Uint8Array> = {};
    for (let seed = 0; seed < 4; seed++) {
      files[`set/${seed % 2 ? "a" : "b"}/${seed}.jpg`] = await sceneJpeg(seed);
    }
    await Deno.writeFile(join(folder, "set.zip"), await zipOf(files));
    const args = ["set.zip", "--near-distance", "0"];
    const env = { LOCKSTEP_CACHE: join(folder, "cache"), LOCKSTEP_LIBTENSORFLOW: await library() };
    const { code, stdout, stderr } = await dataCheck(folder, args, env);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^set\.zip: 4 images of 2 classes; checked in /m);
    assert.match(stdout, /^0 errors, 0 warnings, 0 notes$/m);
    const { sides, settings } = await readDataCheck(join(folder, "data-check/set.zip"));
    assert.deepEqual(sides, ["all"]);
    assert.equal(settings.nearDistance, 0);
  }));

async function library(): Promise<string> {
  const { libtensorflowPath } = await import("../../src/base/libtensorflow_path.ts");
  return libtensorflowPath();
}

Deno.test("runDataCheck() refuses wrong usage with exit code 2 and the cure", () =>
  withTemporaryFolder(async (folder) => {
    await makeScenes(join(folder, "photos"), 1, 1);
    for (
      const [args, message] of [
        [[], /^error: data check needs a folder, an archive or the name of a data set/],
        [["nowhere"], /^error: Folder ".*nowhere" is missing/],
        [["photos", "more"], /^error: Unexpected argument "more" of data check/],
        [["photos", "--near-distance", "17"], /^error: --near-distance is 17: give at most 16/],
        [
          ["photos", "--val-folder", "test"],
          /^error: --val-folder is test: there is no such folder/,
        ],
        [
          ["photos", "--neardistance", "3"],
          /^error: Unknown flag .* did you mean --near-distance\?/,
        ],
      ] as const
    ) {
      const { code, stderr } = await dataCheck(folder, [...args]);
      assert.equal(code, 2, stderr);
      assert.match(stderr, message);
    }
    const env = { LOCKSTEP_LIBTENSORFLOW: join(folder, "no_library") };
    const { code, stderr } = await dataCheck(folder, ["photos"], env);
    assert.equal(code, 2);
    assert.match(stderr, /^error: libtensorflow can't be opened at .*run "deno task setup"/m);
  }));

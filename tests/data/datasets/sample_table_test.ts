import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { LockstepError } from "../../../src/base/errors.ts";
import { checkFiles } from "../../../src/data/datasets/check_files.ts";
import { chooseSplit, scanClassFolders } from "../../../src/data/datasets/class_folders.ts";
import { scanImageFolder } from "../../../src/data/datasets/image_folder.ts";
import type { FileFacts, ImageSet } from "../../../src/data/datasets/image_set.ts";
import { SampleTable, SampleTableBuilder } from "../../../src/data/datasets/sample_table.ts";
import { openTable, shareTable } from "../../../src/data/datasets/shared_table.ts";
import { tableImages } from "../../../src/data/datasets/table_images.ts";
import { findImages } from "../../../src/train/job.ts";
import { scanEvaluation } from "../../../src/train/evaluation_job.ts";
import { withTemporaryFolder } from "../../support/temporary_folder.ts";

const PNG = new URL("../../fixtures/data/pictures/rgb.png", import.meta.url);

/** Files with names of all lengths, also those that take several bytes per letter. */
const FACTS: FileFacts[] = Array.from({ length: 5000 }, (_, index) => ({
  side: index < 4000 ? "train" : "val",
  label: index % 3,
  path: index % 7 === 0 ? `${index}.png` : `deep/${index % 11}/${"ä😀".repeat(index % 9)}${index}`,
  bytes: index === 17 ? -1 : index * 2 ** 22,
  modified: index === 17 ? 0 : 1_700_000_000_000 + index,
}));

/** Adds the files in an order, and returns the table in theirs. */
function tableOf(facts: readonly FileFacts[], added = facts.map((_, index) => index)) {
  const builder = new SampleTableBuilder();
  const order = new Uint32Array(facts.length);
  for (const index of added) {
    const { path, label, bytes, modified } = facts[index];
    const folder = dirname(path) === "." ? "" : dirname(path);
    const row = builder.add(folder, path.slice(folder === "" ? 0 : folder.length + 1), label);
    builder.setFile(row, bytes, modified);
    assert.equal(builder.path(row), path);
    order[index] = row;
  }
  const train = facts.filter(({ side }) => side === "train").length;
  return builder.finish({ classes: ["a", "b", "ç"], train, order });
}

Deno.test("SampleTable gives back what was added, in the order of its rows", () => {
  for (const step of [1, 1999]) { // in order, and in another one
    const added = FACTS.map((_, index) => (index * step) % FACTS.length);
    const { memory } = tableOf(FACTS, added);
    const table = new SampleTable(memory.slice());
    assert.deepEqual([...table], FACTS);
    assert.deepEqual([table.at(-1), table.at(5000), table.at(4999)], [
      undefined,
      undefined,
      FACTS[4999],
    ]);
    const val = table.side("val");
    assert.deepEqual([val.length, table.side("train").length], [1000, 4000]);
    assert.deepEqual(val.at(999), { path: FACTS[4999].path, label: FACTS[4999].label, index: 999 });
    for (const [row, { side, path }] of FACTS.entries()) {
      assert.equal(table.rowOf(side, path), row);
      assert.equal(table.rowOf(side === "val" ? "train" : "val", path), -1);
    }
    // As versions without tables made it: runs of those go on being resumed.
    const hash = createHash("sha256");
    for (const { side, label, path, bytes } of FACTS) {
      hash.update(`${side}\0${label}\0${path}\0${bytes}\n`);
    }
    assert.equal(table.head.fingerprint, hash.digest("hex"));
  }
  assert.deepEqual([...tableOf([]).side("train")], []);
});

Deno.test("openTable() opens what shareTable() shares, and refuses all else", () => {
  const table = tableOf(FACTS);
  const shared = shareTable(table);
  assert.deepEqual([...openTable(shared.place)], FACTS);
  const { place } = shared;
  assert.throws(() => openTable({ ...place, sha256: "0".repeat(64) }), LockstepError);
  assert.throws(() => openTable({ ...place, bytes: place.bytes + 4096 }), LockstepError);
  shared[Symbol.dispose]();
  assert.throws(() => openTable(place), LockstepError);
});

/** Fills a folder with links to one image. */
async function makeManyImages(root: string, classes: number, perClass: number): Promise<void> {
  const source = join(root, "source");
  await Deno.copyFile(PNG, source);
  for (let label = 0; label < classes; label++) {
    for (const side of ["train", "val"]) {
      const folder = join(root, side, `n${String(label).padStart(8, "0")}`);
      Deno.mkdirSync(folder, { recursive: true });
      for (let index = 0; index < perClass; index++) {
        Deno.linkSync(source, join(folder, `n00000000_${index}.JPEG`));
      }
    }
  }
  await Deno.remove(source);
}

const samplesOf = ({ classes, train, val, fingerprint }: ImageSet) => {
  return { classes, train: [...train], val: [...val], fingerprint };
};

Deno.test("20,000 images take at most 64 bytes each, and a worker finds them without their folder", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images"), gone = join(folder, "gone");
    await Deno.mkdir(root);
    await makeManyImages(root, 20, 500);
    const set = await scanImageFolder(root);
    assert.deepEqual([set.train.length, set.val.length], [10_000, 10_000]);
    assert.ok(set.files!.memory.length < 64 * 20_000, String(set.files!.memory.length));
    assert.equal(await checkFiles(set, { onError: "fail" }), undefined);
    using shared = shareTable(set.files!);
    await Deno.rename(root, gone);

    const data = { maxPixels: 1000 } as never;
    const job = { root, config: { data, seed: 0 }, samples: shared.place };
    const found = await findImages(job);
    assert.deepEqual(samplesOf(found), samplesOf(set));
    assert.deepEqual(found.source.ofFiles, { maxPixels: 1000 });
    await assert.rejects(findImages({ ...job, samples: undefined }), /images/, "by a scan");

    const classes = set.classes.toReversed();
    const chosen = chooseSplit(set, { split: "train", classes });
    const evaluation = { split: "train" as const, classes };
    const own = await scanEvaluation({ ...job, evaluation } as never);
    assert.deepEqual(samplesOf(own), samplesOf(chosen));

    const folders = await scanClassFolders(gone, "val", classes);
    using other = shareTable(folders.files!);
    const named = { split: "val" as const, classes, folder: "val" };
    const again = await scanEvaluation(
      { ...job, samples: other.place, evaluation: named } as never,
    );
    assert.deepEqual(samplesOf(again), samplesOf(folders));
    assert.deepEqual(samplesOf(tableImages(new SampleTable(folders.files!.memory), { root })), {
      ...samplesOf(folders),
      train: [],
    });
  }));

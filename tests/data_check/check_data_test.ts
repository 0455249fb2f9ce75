import assert from "node:assert/strict";
import { join } from "node:path";
import { balanceOf } from "../../src/data_check/class_balance.ts";
import { checkData } from "../../src/data_check/check_data.ts";
import { surveyFolder } from "../../src/data_check/survey.ts";
import { makeCifar } from "../support/cifar.ts";
import { makeScenes, put, sceneJpeg } from "../support/scenes.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const FOLDERS = { trainFolder: "train", valFolder: "val" };

Deno.test("surveyFolder() finds the same images and classes as a run", () =>
  withTemporaryFolder(async (root) => {
    const { scanImageFolder } = await import("../../src/data/datasets/image_folder.ts");
    await makeScenes(root);
    await put(root, "train/cat/deep/er/x.JPG", await sceneJpeg(1));
    await put(root, "train/.cache/y.jpg", "");
    const { classes, images, findings, sides } = await surveyFolder(root, FOLDERS);
    const run = await scanImageFolder(root);
    assert.deepEqual(classes, run.classes);
    assert.deepEqual(sides, ["train", "val"]);
    for (const side of ["train", "val"] as const) {
      assert.deepEqual(
        images.filter((image) => image.side === side).map(({ path, label }) => [path, label]),
        run[side].map(({ path, label }) => [path, label]),
      );
    }
    assert.deepEqual(findings, []);
  }));

Deno.test("surveyFolder() says what a run would refuse, all of it", () =>
  withTemporaryFolder(async (root) => {
    const kinds = async () =>
      (await surveyFolder(root, FOLDERS)).findings.map(({ kind, files }) => [kind, ...files]);
    assert.deepEqual(await kinds(), [["tooFewClasses", "."]]);
    await put(root, "train/cat/a.jpg", "");
    await put(root, "test/cat/a.jpg", "");
    assert.deepEqual(await kinds(), [["missingSide", "val"], ["tooFewClasses", "train"]]);
    await put(root, "train/Cat/b.jpg", "");
    await put(root, "val/cat/a.jpg", "");
    await put(root, "val/dog/notes.txt", "");
    assert.deepEqual(await kinds(), [
      ["otherFile", "val/dog/notes.txt"],
      ["emptyClass", "val/dog"],
      ["classOnOneSide", "train/Cat"],
      ["classOnOneSide", "val/dog"],
      ["similarNames", "Cat", "cat"],
    ]);
  }));

Deno.test("checkData() looks through the records of CIFAR-10", () =>
  withTemporaryFolder(async (folder) => {
    const { root } = await makeCifar(folder);
    // The first training image again: as another class, and for validation.
    const first = (await Deno.readFile(join(root, "data_batch_1.bin"))).slice(0, 3073);
    const conflict = first.slice();
    conflict[0] = (first[0] + 1) % 10;
    await Deno.writeFile(join(root, "data_batch_5.bin"), conflict, { append: true });
    await Deno.writeFile(join(root, "test_batch.bin"), first, { append: true });
    const done: number[] = [];
    const { facts } = await checkData({
      data: "cifar10",
      root,
      ...FOLDERS,
      nearDistance: 0,
      onProgress: (count) => done.push(count),
    });
    assert.equal(facts.format, "cifar10");
    assert.deepEqual(facts.pictures, { train: 101, val: 21, unusable: 0 });
    assert.equal(done.at(-1), 122);
    const copies = facts.findings.filter(({ kind }) => kind.startsWith("copyAcross"));
    const files = ["data_batch_1.bin#0", "data_batch_5.bin#20", "test_batch.bin#20"];
    assert.deepEqual(copies.map((finding) => [finding.kind, finding.files]), [
      ["copyAcrossSides", files],
      ["copyAcrossClasses", files],
    ]);
    assert.equal(facts.classes.length, 10);
  }));

Deno.test("balanceOf() measures ratio and evenness over the training images", () => {
  const classes = (...counts: number[]) =>
    counts.map((train, index) => ({ name: `${index}`, train, val: 7, unusable: 0 }));
  const even = balanceOf(classes(5, 5, 5));
  assert.equal(even.ratio, 1);
  assert.ok(Math.abs(even.evenness! - 1) < 1e-12);
  const { ratio, evenness } = balanceOf(classes(30, 10));
  assert.equal(ratio, 3);
  assert.ok(Math.abs(evenness! - 0.811278) < 1e-6);
  assert.deepEqual(balanceOf(classes(4, 0)), { ratio: null, evenness: 0 });
  assert.deepEqual(balanceOf(classes(0, 0)), { ratio: null, evenness: null });
  assert.deepEqual(balanceOf(classes(3)), { ratio: 1, evenness: null });
});

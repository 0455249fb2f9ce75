import assert from "node:assert/strict";
import { resolve } from "node:path";
import { dataSchema } from "../../src/data/config.ts";

const GOOD = {
  root: "photos",
  train: [{ RandomResizedCrop: 32 }, "RandomHorizontalFlip"],
  val: [{ Resize: 40 }, { CenterCrop: [32, 48] }],
};

function problemsOf(change: Record<string, unknown>): string[] {
  const result = dataSchema.safeParse({ ...GOOD, ...change });
  assert.ok(!result.success, "the config was accepted");
  return result.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
}

Deno.test("dataSchema fills in torchvision's defaults and the long form", () => {
  const config = dataSchema.parse(GOOD);
  assert.deepEqual(config.train, [
    { RandomResizedCrop: { size: [32, 32], scale: [0.08, 1], ratio: [3 / 4, 4 / 3] } },
    { RandomHorizontalFlip: { p: 0.5 } },
  ]);
  assert.deepEqual(config.val, [{ Resize: { size: 40 } }, { CenterCrop: { size: [32, 48] } }]);
  assert.equal(config.onError, "fail");
  assert.equal(config.prefetch, 4);
});

Deno.test("dataSchema accepts its own output", () => {
  const config = dataSchema.parse(GOOD);
  assert.deepEqual(dataSchema.parse(config), config);
  assert.deepEqual(dataSchema.parse(JSON.parse(JSON.stringify(config))), config);
});

Deno.test("dataSchema takes the cache's size in bytes or with a unit", () => {
  for (
    const [given, bytes] of [["2GB", 2e9], ["1.5 MB", 1.5e6], ["64kB", 64000], [
      12345,
      12345,
    ]] as const
  ) {
    assert.equal(dataSchema.parse({ ...GOOD, cache: given }).cache, bytes);
  }
  for (const none of [null, undefined]) {
    assert.equal(dataSchema.parse({ ...GOOD, cache: none }).cache, none);
  }
  for (const wrong of ["2", "2 TB", "much", 0, -1, 1.5, {}]) {
    assert.match(
      problemsOf({ cache: wrong })[0],
      /^cache: give a number of bytes, or such as 500MB/,
    );
  }
});

Deno.test("dataSchema wants exactly one of dataset and root, and null counts as unset", () => {
  assert.match(problemsOf({ root: undefined })[0], /^root: name a folder of images, or set data/);
  assert.match(problemsOf({ dataset: "food-groups" })[0], /^root: data\.dataset is set too/);
  assert.equal(dataSchema.parse({ ...GOOD, dataset: null }).root, resolve("photos"));
  assert.equal(
    dataSchema.parse({ ...GOOD, root: null, dataset: "food-groups" }).dataset,
    "food-groups",
  );
});

Deno.test("dataSchema names the nearest transform and argument", () => {
  assert.deepEqual(problemsOf({ train: [{ RandomResizeCrop: 32 }] }), [
    "train.0.RandomResizeCrop: unknown transform RandomResizeCrop: did you mean RandomResizedCrop?",
  ]);
  assert.deepEqual(problemsOf({ train: [...GOOD.train, "HorizontalFlip"] }), [
    "train.2: unknown transform HorizontalFlip: did you mean RandomHorizontalFlip?",
  ]);
  assert.deepEqual(problemsOf({ train: [{ RandomResizedCrop: { size: 8, scales: [1, 1] } }] }), [
    "train.0.RandomResizedCrop.scales: unknown argument scales of RandomResizedCrop: did you mean scale?",
  ]);
  assert.match(problemsOf({ train: ["toString"] })[0], /unknown transform toString/);
});

Deno.test("dataSchema points at a wrong argument", () => {
  assert.match(
    problemsOf({ val: [{ CenterCrop: "big" }] })[0],
    /^val\.0\.CenterCrop: give one number/,
  );
  assert.match(
    problemsOf({ train: [{ RandomResizedCrop: { size: 8, scale: [1, 0.5] } }] })[0],
    /^train\.0\.RandomResizedCrop\.scale: the first number must not be above the second/,
  );
  assert.match(
    problemsOf({ val: [{ CenterCrop: 8 }, "Normalize"] })[0],
    /^val\.1: Normalize needs mean/,
  );
  assert.match(problemsOf({ val: [3] })[0], /^val\.0: give a transform's name/);
});

Deno.test("dataSchema refuses lists without a fixed size, and Normalize before the end", () => {
  assert.match(problemsOf({ val: [{ Resize: 32 }] })[0], /^val: images of different sizes/);
  assert.match(problemsOf({ train: [] })[0], /^train: images of different sizes/);
  const normalize = { Normalize: { mean: [0, 0, 0], std: [1, 1, 1] } };
  assert.match(problemsOf({ val: [normalize, { CenterCrop: 8 }] })[0], /^val\.0: Normalize works/);
  dataSchema.parse({ ...GOOD, val: [{ CenterCrop: 8 }, { Resize: 16 }, normalize] });
});

Deno.test("dataSchema takes format and folders from the data set, and refuses others", () => {
  const layoutOf = (change: Record<string, unknown>) => {
    const { format, trainFolder, valFolder } = dataSchema.parse({ ...GOOD, ...change });
    return [format, trainFolder, valFolder];
  };
  assert.deepEqual(layoutOf({}), ["imageFolder", "train", "val"]);
  assert.deepEqual(layoutOf({ valFolder: "test" }), ["imageFolder", "train", "test"]);
  assert.deepEqual(layoutOf({ format: "cifar10" }), ["cifar10", "train", "val"]);
  const named = { root: null, dataset: "catdog" };
  assert.deepEqual(layoutOf(named), ["imageFolder", "train", "test"]);
  assert.deepEqual(layoutOf({ ...named, dataset: "cifar10" }), ["cifar10", "train", "val"]);
  assert.deepEqual(layoutOf({ ...named, valFolder: "test" }), ["imageFolder", "train", "test"]);
  assert.deepEqual(problemsOf({ ...named, valFolder: "val" }), [
    "valFolder: the data set catdog has its own (test): remove this key",
  ]);
  assert.deepEqual(problemsOf({ ...named, format: "cifar10" }), [
    "format: the data set catdog has its own (imageFolder): remove this key",
  ]);
  assert.deepEqual(problemsOf({ ...named, dataset: "cifar10", format: "imageFolder" }), [
    "format: the data set cifar10 has its own (cifar10): remove this key",
  ]);
  for (const dataset of ["catdog", "cifar10"]) {
    const config = dataSchema.parse({ ...GOOD, root: null, dataset });
    assert.deepEqual(dataSchema.parse(config), config, "its own output");
  }
});

Deno.test("dataSchema refuses keys that mean nothing to CIFAR-10, and folders that are no two names", () => {
  assert.match(
    problemsOf({ format: "cifar10", valFraction: 0.2 })[0],
    /^valFraction: CIFAR-10 has its own validation images \(test_batch\.bin\)/,
  );
  assert.match(
    problemsOf({ format: "cifar10", valFolder: "test" })[0],
    /^valFolder: CIFAR-10 has files instead of folders/,
  );
  assert.match(problemsOf({ trainFolder: "val" })[0], /^valFolder: it is data\.trainFolder too/);
  for (const name of ["../val", "a/b", "", ".hidden", "a\\b"]) {
    assert.match(problemsOf({ valFolder: name })[0], /^valFolder: give the name of a folder/);
  }
  assert.match(problemsOf({ format: "cifar" })[0], /^format: /);
});

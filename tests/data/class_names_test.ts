import assert from "node:assert/strict";
import { chooseSplit } from "../../src/data/datasets/class_folders.ts";
import { classMatcher, differentClasses, labelsByName } from "../../src/data/class_names.ts";
import type { ImageSet } from "../../src/data/datasets/image_set.ts";
import { resolveClassWeights } from "../../src/coordinator/preparation/prepare.ts";

const MANY = 21_000;
/** Accented names, so that a folder may stand for a class in another normal form. */
const classes = Array.from({ length: MANY }, (_, index) => `classé ${index}`);
const samples = Array.from({ length: 10 * MANY }, (_, index) => ({
  ...{ path: `${index}.jpg`, label: index % MANY, index },
}));

/** Seconds that an action takes. */
function secondsOf(action: () => void): number {
  const start = performance.now();
  action();
  return (performance.now() - start) / 1000;
}

/** Limit in seconds; an algorithm that is quadratic in the classes takes half a minute and more. */
const MAX_SECONDS = 12;

Deno.test("classes are found by name among 21,000, in any normal form, without a square of them", () => {
  const seconds = secondsOf(() => {
    const matched = classes.map((name) => name.normalize("NFD")).map(classMatcher(classes));
    assert.deepEqual(matched, classes);
    assert.equal(classMatcher(classes)("other"), "other");
    assert.equal(labelsByName(["a", "b", "a"]).get("a"), 0, "the first of equal names");
    const set = {
      ...{ root: "images", classes, train: [], val: samples, fingerprint: "" },
      source: { cheap: false, read: () => Promise.reject(new Error()), [Symbol.dispose]() {} },
    } satisfies ImageSet;
    const reversed = [...classes].reverse();
    const { val } = chooseSplit(set, { split: "val", classes: reversed });
    assert.deepEqual([val.at(0)?.label, val.at(1)?.label], [MANY - 1, MANY - 2]);
    assert.throws(
      () => chooseSplit(set, { split: "val", classes: reversed.map((name) => `${name}!`) }),
      (error: Error) => error.message.length < 2000 && /and 20990 more/.test(error.message),
    );
    const weights = resolveClassWeights("balanced", { classes, train: samples });
    assert.ok(weights!.every((weight) => weight === 1));
    const byName = Object.fromEntries(reversed.map((name, index) => [name, index + 1]));
    assert.equal(resolveClassWeights(byName, { classes, train: samples })![0], MANY);
  });
  assert.ok(seconds < MAX_SECONDS, `${seconds} s`);
});

Deno.test("refusals of 21,000 classes are of bounded length", () => {
  const folder = { classes, train: samples };
  const wrong: Parameters<typeof resolveClassWeights>[0][] = [
    [1, 2],
    { "something quite else": 1 },
    "balanced",
  ];
  for (const weights of wrong) {
    const given = weights === "balanced" ? { classes, train: [] } : folder;
    assert.throws(
      () => resolveClassWeights(weights, given),
      (error: Error) => error.message.length < 2000 && /and 209\d\d more/.test(error.message),
    );
  }
});

Deno.test("differentClasses() names what differs, wherever it stands", () => {
  assert.equal(differentClasses(classes, classes), "");
  const changed = classes.with(15_000, "new");
  assert.equal(
    differentClasses(classes, changed),
    'its 21000 classes are not the 21000 of the data: only it has "classé 15000", only the data have "new"',
  );
  assert.match(differentClasses(["a", "b"], ["b", "a"]), /: their order is another$/);
  assert.match(differentClasses(["a"], ["a", "b"]), /^its 1 .* the 2 of the data: only the data/);
  assert.ok(differentClasses(classes, ["x"]).length < 1000);
});

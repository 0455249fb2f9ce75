import assert from "node:assert/strict";
import { isComparable, judgeImage } from "../../src/data_check/judge_image.ts";

const FACTS = {
  format: "jpeg",
  width: 200,
  height: 100,
  traits: [],
  hash: { contrast: 40 },
} as unknown as Parameters<typeof judgeImage>[1];

/** The kinds of the findings. */
const kinds = (path: string, changes: object, said?: string) =>
  judgeImage(path, { ...FACTS, ...changes }, said).map(({ kind }) => kind);

Deno.test("judgeImage() finds what is wrong with one image, and nothing with a good one", () => {
  assert.deepEqual(kinds("a.jpg", {}), []);
  assert.deepEqual(kinds("a.png", {}), ["wrongEnding"]);
  assert.deepEqual(kinds("a.JPG", { width: 31 }), ["tiny"]);
  assert.deepEqual(kinds("a.jpg", { width: 500 }), ["elongated"]);
  assert.deepEqual(kinds("a.jpg", { width: 6000, height: 5000 }), ["huge"]);
  assert.deepEqual(kinds("a.jpg", { hash: { contrast: 1 } }), ["plain"]);
  assert.deepEqual(kinds("a.jpg", {}, "premature end"), ["inside"]);
  assert.deepEqual(kinds("a.png", { problem: { kind: "damaged", detail: "cut" } }), [
    "damaged",
    "wrongEnding",
  ]);
});

Deno.test("isComparable() leaves out plain images, whose hashes are all alike", () => {
  assert.equal(isComparable(FACTS), true);
  const { hash: _hash, ...without } = FACTS;
  assert.equal(isComparable(without), false);
});

import assert from "node:assert/strict";
import { fileName, isShownName, shownName } from "../../src/base/names.ts";

Deno.test("isShownName() takes names of all scripts, and refuses what can't be shown", () => {
  for (const name of ["a", "My photos", "猫と犬", "naïve", "👨‍👩‍👧", "a/b: c?", "x".repeat(80)]) {
    assert.ok(isShownName(name), name);
  }
  for (
    const name of ["", " ", " a", "a\n", "a\x1b[31m", "a\u202eb", "a\0", "x".repeat(81), "\ud800"]
  ) {
    assert.ok(!isShownName(name), JSON.stringify(name));
  }
});

Deno.test("shownName() makes a name of any text, or none", () => {
  const names: [string, string | undefined][] = [
    ["My  photos ", "My photos"],
    ["a\x1b[31mb\n", "a [31mb"],
    ["naïve 図", "naïve 図"],
    ["\u202e\u200b", undefined],
    ["", undefined],
    [" ", undefined],
    ["図".repeat(100), "図".repeat(80)],
    ["👍".repeat(100), "👍".repeat(80)],
    ["x".repeat(79) + " yy", "x".repeat(79)],
  ];
  for (const [text, name] of names) {
    assert.equal(shownName(text), name);
    assert.ok(name === undefined || isShownName(name), text);
  }
});

Deno.test("fileName() leaves names of files as they are, and makes one of everything else", () => {
  const names: [string, string][] = [
    ["food-groups", "food-groups"],
    ["finetune-inception_v3", "finetune-inception_v3"],
    ["-a.b_", "-a.b_"],
    ["My photos", "My-photos"],
    ["a/../../b", "a-..-..-b"],
    ["naïve 図", "naïve-図"],
    ["e\u0301", "é"],
    ["a\x1b[31mb", "a-31mb"],
    ["?*: ", "run"],
    ["..", "run"],
    ["👍", "run"],
    ["A & B (2)", "A-B-2"],
    ["x".repeat(200), "x".repeat(120)],
    ["図".repeat(80), "図".repeat(40)],
  ];
  for (const [text, name] of names) assert.equal(fileName(text, "run"), name);
});

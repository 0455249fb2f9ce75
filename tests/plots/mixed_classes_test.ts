import assert from "node:assert/strict";
import { mixedLines } from "../../src/plots/mixed_classes.ts";

Deno.test("mixedLines() names a training image's classes, the greater share first", () => {
  assert.deepEqual(mixedLines("cat"), ["cat"]);
  assert.deepEqual(mixedLines("cat", { class: "dog", share: 0.7 }), ["70% cat", "30% dog"]);
  assert.deepEqual(mixedLines("cat", { class: "dog", share: 0.204 }), ["80% dog", "20% cat"]);
  assert.deepEqual(mixedLines("cat", { class: "dog", share: 0.5 }), ["50% cat", "50% dog"]);
});

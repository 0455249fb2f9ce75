import assert from "node:assert/strict";
import { globTest, unmatchedPatterns } from "../../src/base/glob.ts";

Deno.test("globTest() takes * for anything, dots too, and all else for itself", () => {
  const cases: [string, string, boolean][] = [
    ["layer4.*", "layer4.1.conv2.weight", true],
    ["layer4.*", "layer40.weight", false],
    ["*.bias", "fc.bias", true],
    ["*.bias", "fc.bias.x", false],
    ["fc", "fc", true],
    ["f.c", "fxc", false],
    ["a(b)[c]+$", "a(b)[c]+$", true],
    ["*", "", true],
    ["a*b*c", "a1\nb2c", true],
  ];
  for (const [pattern, name, fits] of cases) assert.equal(globTest(pattern)(name), fits, pattern);
});

Deno.test("unmatchedPatterns() returns the patterns that no name fits", () => {
  assert.deepEqual(unmatchedPatterns(["fc.*", "head.*", "*"], ["fc.weight", "fc.bias"]), [
    "head.*",
  ]);
  assert.deepEqual(unmatchedPatterns([], []), []);
});

import assert from "node:assert/strict";
import { calledPath, callPath, quotedPath } from "../../src/base/called_paths.ts";

Deno.test("calledPath() names paths in an unpacked archive as the user knows them, others as they are", () => {
  callPath("/cache/unpacked-1", "/photos/cats.zip");
  assert.equal(calledPath("/cache/unpacked-1"), "/photos/cats.zip");
  assert.equal(calledPath("/cache/unpacked-1/train/a.jpg"), "/photos/cats.zip/train/a.jpg");
  assert.equal(calledPath("/cache/unpacked-10/train"), "/cache/unpacked-10/train");
  assert.equal(quotedPath("/cache/unpacked-1/a\nb"), '"/photos/cats.zip/a\\nb"');
});

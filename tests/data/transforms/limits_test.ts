import assert from "node:assert/strict";
import { requireRoom } from "../../../src/data/transforms/limits.ts";

Deno.test("requireRoom() refuses more than 100 million pixels, naming the transform and both sizes", () => {
  requireRoom("Resize", { width: 1, height: 1 }, 10_000, 10_000);
  assert.throws(
    () => requireRoom("Resize", { width: 4, height: 9000 }, 10_000, 10_001),
    /Resize would make its 4 × 9000 pixels 10000 × 10001$/,
  );
});

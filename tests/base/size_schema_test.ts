import assert from "node:assert/strict";
import { sizeSchema } from "../../src/base/size_schema.ts";

Deno.test("sizeSchema reads bytes and amounts with a unit, and refuses the rest", () => {
  const sizes: [unknown, number][] = [[1, 1], ["500MB", 5e8], ["2GB", 2e9], ["1.5 kB", 1500]];
  for (const [value, bytes] of sizes) assert.equal(sizeSchema.parse(value), bytes);
  for (const bad of [0, -1, 1.5, "500", "5 mb", "MB", "0.0001kB", null, true, "1e3GB"]) {
    assert.equal(sizeSchema.safeParse(bad).success, false, String(bad));
  }
});

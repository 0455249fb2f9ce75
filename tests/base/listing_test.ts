import assert from "node:assert/strict";
import { listed, listedInQuotes } from "../../src/base/listing.ts";

Deno.test("listed() names the first ones and counts the others", () => {
  assert.equal(listed([]), "");
  assert.equal(listed(["a", "b"]), "a, b");
  assert.equal(listed(["a", "b", "c", "d"], { max: 2 }), "a, b and 2 more");
  assert.equal(listed(["a", "b"], { separator: "; " }), "a; b");
  assert.equal(listed(["a", "b"], { max: 1, others: "other folders" }), "a and 1 other folders");
  const many = Array.from({ length: 21_000 }, (_, index) => `class ${index}`);
  assert.match(listed(many), /^class 0, .*, class 9 and 20990 more$/);
  assert.equal(listedInQuotes(["a\n", "b", "c"], { max: 2 }), '"a\\n", "b" and 1 more');
});

import assert from "node:assert/strict";
import { itemAt } from "../../src/base/item_at.ts";

Deno.test("itemAt() returns the item, falsy ones too, and refuses a position that a list hasn't got", () => {
  assert.equal(itemAt(["a", "b"], 1), "b");
  assert.equal(itemAt([0, 1], 0), 0);
  assert.throws(() => itemAt([1, 2], 2), /^RangeError: There is no item 2 in a list of 2$/);
  assert.throws(() => itemAt([], -1), RangeError);
});

import assert from "node:assert/strict";
import { isTree, setOwn, type Tree } from "../../src/config/tree.ts";

Deno.test("isTree() knows mappings from lists, null and values", () => {
  assert.deepEqual([{}, { a: 1 }, [], null, "a", 1, undefined].map(isTree), [
    true,
    true,
    false,
    false,
    false,
    false,
    false,
  ]);
});

Deno.test("setOwn() sets a property of the object itself, whatever its name", () => {
  const tree: Tree = {};
  assert.equal(
    setOwn(tree, "__proto__", { a: 1 }),
    Object.getOwnPropertyDescriptor(tree, "__proto__")!.value,
  );
  assert.equal(Object.getPrototypeOf(tree), Object.prototype);
  assert.deepEqual(Object.keys(tree), ["__proto__"]);
});

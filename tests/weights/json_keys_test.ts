import assert from "node:assert/strict";
import { scanObjectKeys } from "../../src/weights/json_keys.ts";

Deno.test("scanObjectKeys() returns the outermost keys in their order", () => {
  const text = '{"b": {"x": [1, {"y": "}"}]}, "10": "a\\"b:", "\\u0061": null}';
  assert.deepEqual(scanObjectKeys(text, 9), ["b", "10", "a"]);
  assert.deepEqual(scanObjectKeys("[1, 2]", 9), []);
});

Deno.test("scanObjectKeys() refuses keys given twice, deep nesting and open strings", () => {
  assert.throws(() => scanObjectKeys('{"a": 1, "\\u0061": 2}', 9), /it gives "a" twice/);
  assert.throws(() => scanObjectKeys('{"a": {"b": 1, "b": 2}}', 9), /it gives "b" twice/);
  assert.throws(() => scanObjectKeys("[[[1]]]", 2), /nested deeper than 2/);
  assert.throws(() => scanObjectKeys('{"a": "b', 9), /ends inside a string/);
});

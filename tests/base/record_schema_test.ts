import assert from "node:assert/strict";
import { recordOf } from "../../src/base/record_schema.ts";
import { z } from "../../src/deps/zod.ts";

Deno.test("recordOf() keeps any name, __proto__ too, and names the key of a wrong value", () => {
  const schema = recordOf(z.number());
  const parsed = schema.parse(JSON.parse('{"a": 1, "__proto__": 2}'));
  assert.deepEqual(Object.entries(parsed), [["a", 1], ["__proto__", 2]]);
  const { error } = schema.safeParse({ a: 1, b: "x" });
  assert.deepEqual(error!.issues.map(({ path }) => path), [["b"]]);
  for (const bad of [[], null, 5]) assert.equal(schema.safeParse(bad).success, false);
});

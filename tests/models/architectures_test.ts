import assert from "node:assert/strict";
import * as declarations from "../../src/models/architectures.ts";
import { MODEL_NAMES } from "../../src/models/registry.ts";

Deno.test("every architecture of the list is a model's name, and states its facts", () => {
  const names = Object.keys(declarations);
  assert.deepEqual(names.filter((name) => !MODEL_NAMES.some((model) => model === name)), []);
  for (const [name, { parameters, heads }] of Object.entries(declarations)) {
    assert.ok(parameters > 10_000 && heads.length > 0, name);
  }
});

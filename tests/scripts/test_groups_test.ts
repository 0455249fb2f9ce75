import assert from "node:assert/strict";
import { PROJECT_ROOT, sourceFiles } from "../../scripts/files.ts";
import { groupTests, WITH_EXAMPLES } from "../../scripts/test.ts";

Deno.test("groupTests() has each test file and the documented examples once, the slowest first", async () => {
  const files = await sourceFiles(PROJECT_ROOT);
  const groups = groupTests(files);
  assert.deepEqual(groups[0], ["tests/recipes_test.ts"]);
  const tests = files.filter((file) => file.startsWith("tests/") && file.endsWith("_test.ts"));
  assert.ok(tests.length > 200);
  assert.deepEqual(groups.flat().sort(), ["--doc", ...WITH_EXAMPLES, ...tests].sort());
  assert.ok(groups.every((group) => group.length > 0 && group.length <= 20));
});

Deno.test("groupTests() names a slow file that is gone", () => {
  assert.throws(() => groupTests(["tests/base/csv_test.ts"]), /tests\/recipes_test\.ts.*mend SLOW/);
});

import assert from "node:assert/strict";
import { PROJECT_ROOT, sourceFiles } from "../../scripts/files.ts";
import { groupTests, sumUp, WITH_EXAMPLES } from "../../scripts/test.ts";

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

const GOOD = `running 2 tests from ./tests/base/csv_test.ts
a table is read ... ok (3ms)
a table has steps ...
  one ... ok (1ms)
a table has steps ... ok (2ms)

ok | 2 passed (1 step) | 0 failed | 1 ignored (5ms)
`;

Deno.test("sumUp() adds up what groups of tests count", () => {
  const good = { paths: ["tests/base/csv_test.ts"], code: 0, output: GOOD };
  const { counts, failures } = sumUp([good, good]);
  assert.deepEqual([...counts], [["passed", 4], ["failed", 0], ["ignored", 2]]);
  assert.deepEqual(failures, []);
});

Deno.test("sumUp() lists failed tests, and a failure that no test has", () => {
  const failure = "a table is read => ./tests/base/csv_test.ts:3:6";
  const output = GOOD.replace(
    "\nok | 2 passed (1 step) | 0",
    `\n FAILURES \n\n${failure}\n\nFAILED | 1 passed | 1`,
  );
  const failed = sumUp([{ paths: ["tests/base/csv_test.ts"], code: 1, output }]);
  assert.deepEqual(failed.failures, [failure]);
  assert.deepEqual([...failed.counts], [["passed", 1], ["failed", 1], ["ignored", 1]]);
  const other = sumUp([{ paths: ["tests/base/csv_test.ts"], code: 1, output: GOOD }]);
  assert.deepEqual(other.failures, [
    "A group of tests ended with code 1: tests/base/csv_test.ts",
  ]);
  assert.equal(other.counts.get("failed"), 1);
});

Deno.test("sumUp() counts a group that broke off as a failure, and says where", () => {
  const output = `${GOOD.split("\nok |")[0]}running 3 tests from ./tests/base/zip_test.ts
an archive is read ... `;
  const paths = ["tests/base/csv_test.ts", "tests/base/zip_test.ts"];
  const { counts, failures } = sumUp([{ paths, code: 134, output }]);
  assert.deepEqual([...counts], [["passed", 2], ["failed", 1]]);
  assert.deepEqual(failures, [
    "A group of tests ended with code 134, in ./tests/base/zip_test.ts: tests/base/csv_test.ts tests/base/zip_test.ts",
  ]);
});

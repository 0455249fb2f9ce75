import assert from "node:assert/strict";
import { taskDescription } from "../../src/base/task_description.ts";

Deno.test("taskDescription() returns what deno.json says of a task, and nothing for other names", () => {
  assert.match(taskDescription("setup"), /^Fetch what training needs/);
  assert.equal(taskDescription("nothing"), "");
  assert.equal(taskDescription("toString"), "");
});

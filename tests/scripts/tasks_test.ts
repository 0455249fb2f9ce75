import assert from "node:assert/strict";
import { join } from "node:path";
import { PROJECT_ROOT } from "../../scripts/files.ts";

Deno.test("no task of deno.json asks for all rights, and setup and data have no FFI", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(join(PROJECT_ROOT, "deno.json"))) as {
    tasks: Record<string, { description: string; command: string }>;
  };
  for (const [name, { description, command }] of Object.entries(tasks)) {
    assert.doesNotMatch(command, /\s(-A|--allow-all)\b/, name);
    assert.ok(description.length > 0, name);
  }
  assert.doesNotMatch(tasks.setup.command, /--allow-ffi/);
  assert.equal(tasks.data.command, tasks.setup.command.replace(/setup$/, "data"));
});

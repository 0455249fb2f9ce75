import assert from "node:assert/strict";
import { join } from "node:path";
import project from "../../deno.json" with { type: "json" };
import { makeFinishedRun } from "../support/finished_run.ts";
import { runCommand } from "../support/tiny_run.ts";
import { runDeno } from "../support/run_deno.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const tasks: Readonly<Record<string, { description: string; command: string }>> = project.tasks;
const sets: Readonly<Record<string, object>> = project.permissions;

Deno.test("no task of deno.json asks for all rights, and setup and data have no FFI", () => {
  for (const [name, { description, command }] of Object.entries(tasks)) {
    assert.doesNotMatch(command, /\s(-A|--allow-all)\b/, name);
    assert.ok(description.length > 0, name);
  }
  assert.equal(tasks.data.command, tasks.setup.command.replace(/setup$/, "data"));
  assert.ok(!Object.hasOwn(sets.setup, "ffi"));
});

Deno.test("a task of a command is one short line, whose permissions are a set of deno.json", async () => {
  const { stdout } = await runCommand(["--help"], Deno.cwd());
  const commands = Array.from(stdout.matchAll(/^ {2}([a-z][a-z-]*) {2,}/gm), ([, name]) => name);
  assert.ok(commands.includes("train") && commands.includes("doctor"), stdout);
  for (const name of commands) {
    const set = /^deno run -q -P=([a-z-]+) src\/cli\.ts (\S+)$/.exec(tasks[name].command);
    assert.deepEqual(set?.slice(2), [name], tasks[name].command);
    assert.ok(Object.hasOwn(sets, set![1]), name);
    assert.ok(tasks[name].command.length < 60);
  }
});

Deno.test("deno task prints that line, and nothing of Deno's own beside it", async () => {
  const { stdout, stderr } = await runDeno(["task", "models"]);
  assert.match(stdout, /^Architectures/);
  assert.equal(stderr, "Task models deno run -q -P=models src/cli.ts models\n");
});

Deno.test("deno task report writes a report with the rights that it has", () =>
  withTemporaryFolder(async (folder) => {
    await makeFinishedRun(folder);
    const { code, stdout, stderr } = await runDeno(["task", "report", folder]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /report\.html/);
    assert.match(await Deno.readTextFile(join(folder, "report.html")), /<title>/);
  }));

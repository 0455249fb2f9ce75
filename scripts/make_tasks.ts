/**
 * Writes the tasks of the commands into deno.json: each with its title and its set of permissions.
 *
 * @module
 */
import { join } from "node:path";
import { COMMANDS } from "../src/commands/commands.ts";
import type { TaskCommand } from "../src/commands/command.ts";
import { PROJECT_ROOT } from "./files.ts";

/** Declarations of all commands, in the order of the help. */
async function allCommands(): Promise<TaskCommand[]> {
  return await Promise.all(Object.values(COMMANDS).map(async (load) => (await load()).COMMAND));
}

/** The text of deno.json with the tasks of the commands, in the order of the help, before all others. */
export async function withCommandTasks(text: string): Promise<string> {
  const tasks = (await allCommands()).map(({ name, title, permissions }) => {
    const command = `deno run -q -P=${permissions} src/cli.ts ${name}`;
    return `    ${JSON.stringify(name)}: {\n      "description": ${JSON.stringify(title)},\n` +
      `      "command": ${JSON.stringify(command)}\n    },\n`;
  });
  const others = text.replaceAll(
    /^ {4}"[^"]+": \{\n {6}"description": .*\n {6}"command": "deno run .* src\/cli\.ts \S+"\n {4}\},?\n/gm,
    "",
  );
  return others.replace('  "tasks": {\n', (line) => line + tasks.join(""));
}

if (import.meta.main) {
  const path = join(PROJECT_ROOT, "deno.json");
  await Deno.writeTextFile(path, await withCommandTasks(await Deno.readTextFile(path)));
}

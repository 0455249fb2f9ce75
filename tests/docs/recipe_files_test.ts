import assert from "node:assert/strict";
import { join } from "node:path";
import { validate } from "dockerfile-utils";
import type { Command } from "../../src/commands/command.ts";
import { COMMANDS } from "../../src/commands/commands.ts";
import { type CommandHelp, parseFlags } from "../../src/commands/flags.ts";
import { exists } from "../../src/base/paths.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const FOLDER = join(ROOT, "docs/recipes");

const names = (await Array.fromAsync(Deno.readDir(FOLDER))).map(({ name }) => name).sort();
const read = (name: string) => Deno.readTextFile(join(FOLDER, name));

/** The tasks in a text, each with the arguments of its line, as a shell would pass them. */
export function tasksIn(text: string): string[][] {
  const joined = text.replaceAll(/\\\n#?/g, " ");
  return [...joined.matchAll(/\bdeno task ([^\n`#]*)/g)].map(([, line]) =>
    words(line!.split(/\s(?:&&?|\|\|?|;|>|2>)(?=\s|$)|\)|",/)[0]!)
  ).filter(([name]) => name !== undefined);
}

/** The words of a command; variables stand for any text, and `"$@"` for more arguments. */
function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)]
    .map(([, double, single, bare]) => double ?? single ?? bare!)
    .filter((word) => word !== "$@")
    .map((word) => word.replaceAll(/\$\{?\w+\}?/g, "2"));
}

/** Words of the JSON form of ENTRYPOINT and CMD. */
function containerCommand(text: string): string[] {
  const list = (name: string) =>
    JSON.parse(new RegExp(`^${name} (\\[.*\\])$`, "m").exec(text)?.[1] ?? "[]") as string[];
  return [...list("ENTRYPOINT"), ...list("CMD")].slice(2);
}

async function parses([name = "", ...args]: string[], where: string): Promise<void> {
  const load =
    (COMMANDS as Record<string, () => Promise<{ COMMAND: Command & CommandHelp }>>)[name];
  assert.ok(load, `${where} names the task ${name}`);
  const { COMMAND } = await load();
  try {
    parseFlags(COMMAND, args);
  } catch (error) {
    assert.fail(`${where}: deno task ${[name, ...args].join(" ")}: ${error}`);
  }
}

/** Runs a linter, unless it isn't there; returns what it prints. */
async function lint(program: string, ...args: string[]): Promise<string | undefined> {
  try {
    const { stdout, stderr } = await new Deno.Command(program, { args }).output();
    return [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    console.log(`Left out: ${args.at(-1)} is not linted, as there is no ${program}`);
    return undefined;
  }
}

Deno.test("the commands in docs/recipes are ones that Lockstep takes", async () => {
  assert.deepEqual(tasksIn('x && deno task a --b "$C" \\\n  "$@" & # deno task d\n'), [
    ["a", "--b", "2"],
    ["d"],
  ]);
  let count = 0;
  for (const name of names) {
    const text = await read(name);
    const commands = tasksIn(text);
    for (const command of commands) await parses(command, name);
    count += commands.length;
    if (name.startsWith("Containerfile")) await parses(containerCommand(text), name);
  }
  assert.ok(count >= 8, `${count} commands`);
});

Deno.test("docs/recipes: linters find nothing in the sbatch script and the systemd unit", async () => {
  const script = join(FOLDER, "train.sbatch");
  assert.equal(await lint("bash", "-n", script) ?? "", "");
  assert.equal(await lint("shellcheck", script) ?? "", "");
  const unit = join(FOLDER, "lockstep-worker.service");
  const found = await lint("systemd-analyze", "verify", unit) ?? "";
  const own = found.split("\n").filter((line) => line.includes("lockstep-worker"));
  // This machine needs neither the program nor the user.
  assert.deepEqual(own.filter((line) => !/is not executable: No such file/.test(line)), []);
});

Deno.test("docs/recipes: the Containerfiles are valid, and copy what the repository has", async () => {
  for (const name of names.filter((each) => each.startsWith("Containerfile"))) {
    const text = await read(name);
    const problems = validate(text).map(({ range, message }) =>
      `${name}:${range.start.line + 1}: ${message}`
    );
    assert.deepEqual(problems, []);
    const sources = [...text.matchAll(/^COPY (.*) \S+$/gm)].flatMap(([, list]) => list!.split(" "));
    assert.ok(sources.length >= 4);
    for (const source of sources) assert.ok(await exists(join(ROOT, source)), `${name}: ${source}`);
    await lint("hadolint", join(FOLDER, name)).then((found) => assert.equal(found ?? "", ""));
  }
});

import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { PROJECT_ROOT } from "../../scripts/files.ts";
import { parseMarkdown } from "../../scripts/markdown.ts";
import { testCommandsIn, titlesIn } from "../../scripts/test_titles.ts";
import { runDeno } from "../support/run_deno.ts";

/** The faults that the page lists. */
const FAULTS = 55;

const page = await Deno.readTextFile(join(PROJECT_ROOT, "docs/reliability.md"));

const registered = new Map<string, Promise<string[]>>();

/** Titles that a file registers when it is imported. */
function registeredTitles(file: string): Promise<string[]> {
  const titles = registered.get(file) ?? readRegisteredTitles(file);
  registered.set(file, titles);
  return titles;
}

async function readRegisteredTitles(file: string): Promise<string[]> {
  const program = new URL("../support/test_names_program.ts", import.meta.url).pathname;
  const url = pathToFileURL(join(PROJECT_ROOT, file)).href;
  const { code, stdout, stderr } = await runDeno(["run", "--no-check", "-A", program, url]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout.trim().split("\n").at(-1)!).names;
}

Deno.test("each command of docs/reliability.md names a file of tests, and a filter that finds some of them", async () => {
  const commands = testCommandsIn(parseMarkdown(page).code);
  assert.ok(commands.length > 60, `${commands.length} commands`);
  const titles = new Map<string, string[][]>();
  for (const { file } of commands) {
    titles.set(file, titlesIn(await Deno.readTextFile(join(PROJECT_ROOT, file))));
  }
  for (const { file, filter, line } of commands) {
    const parts = titles.get(file)!;
    const isThere = filter === undefined
      ? parts.length > 0
      : parts.flat().some((part) => part.includes(filter)) ||
        (await registeredTitles(file)).some((title) => title.includes(filter));
    assert.ok(
      isThere,
      `docs/reliability.md:${line}: no test of ${file} has "${filter}" in its title`,
    );
  }
});

Deno.test("docs/reliability.md has each fault once, with what happens, a command and a figure", () => {
  const rows = page.split("\n").filter((line) => /^\| \d+ /.test(line))
    .map((line) => line.slice(1, -1).split(/(?<!\\)\|/).map((cell) => cell.trim()));
  const numbers = rows.map(([number]) => Number(number)).sort((a, b) => a - b);
  assert.deepEqual(numbers, Array.from({ length: FAULTS }, (_, index) => index + 1));
  for (const [number, fault, happens, shown, figure, ...more] of rows) {
    assert.deepEqual(more, [], `row ${number}`);
    for (const cell of [fault, happens, shown, figure]) assert.ok(cell, `row ${number}`);
    const isShown = shown.includes("`deno task ") || happens.includes("Not tested yet");
    assert.ok(isShown, `row ${number} has no command`);
  }
});

Deno.test("titlesIn() finds titles in quotes and the parts of templates, of either form of test", () => {
  const test = "Deno." + "test";
  assert.deepEqual(
    titlesIn(
      `${test}("a \\"b\\"", () => {});\n${test}(\n  \`x \${f("y")} z\`,\n  f);\n${test}({ name: "n" });`,
    ),
    [['a "b"'], ["x ", " z"], ["n"]],
  );
});

Deno.test("testCommandsIn() reads file and filter, and leaves other commands alone", () => {
  const code = [
    { text: 'deno task test tests/a_test.ts --filter "b c"', line: 1 },
    { text: "deno task test tests/a_test.ts", line: 2 },
    { text: "deno task soak", line: 3 },
  ];
  assert.deepEqual(testCommandsIn(code), [
    { file: "tests/a_test.ts", filter: "b c", line: 1 },
    { file: "tests/a_test.ts", line: 2 },
  ]);
});

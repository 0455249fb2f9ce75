import assert from "node:assert/strict";
import { LOGGERS } from "../../src/loggers/config.ts";
import * as optimizers from "../../src/optim/optimizers.ts";
import * as schedules from "../../src/optim/schedules.ts";

const page = await Deno.readTextFile(new URL("../../docs/training.md", import.meta.url));
/** The page without breaks of lines. */
const text = page.replaceAll(/\s+/g, " ");

Deno.test("docs/training.md has every optimizer with its keys", () => {
  const rows = page.split("\n").filter((line) => line.startsWith("| `"));
  for (const [name, { keys, weightDecay }] of Object.entries(optimizers)) {
    const row = rows.find((line) => line.startsWith(`| \`${name}\` `));
    assert.ok(row, `no row for ${name} in the table of optimizers`);
    assert.ok(row.includes(`\`weightDecay\` (${weightDecay}`), row);
    if (row.includes("the same")) continue;
    for (const key of Object.keys(keys)) assert.ok(row.includes(`\`${key}\` (`), `${key}: ${row}`);
  }
});

Deno.test("docs/training.md has every schedule with its keys", () => {
  for (const [name, { keys }] of Object.entries(schedules)) {
    const own = Object.keys(keys).map((key) => `\`${key}\``).join(", ");
    assert.ok(text.includes(own ? `\`${name}\` (${own})` : `\`${name}\``), `${name} (${own})`);
  }
});

Deno.test("docs/training.md has every logger", () => {
  for (const name of Object.keys(LOGGERS)) assert.ok(text.includes(`\`loggers.${name}\``), name);
});

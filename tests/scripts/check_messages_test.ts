import assert from "node:assert/strict";
import { join } from "node:path";
import { readSources, unknownMessages } from "../../scripts/check_messages.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

Deno.test("unknownMessages() finds quoted messages that the program doesn't say", () => {
  const source =
    'throw new Error(`No ${what} at ${place} (` + `${why}): ` +\n  "check it, or leave it out");';
  const page = [
    "> No … at … (…): check it, or leave it out",
    "> check it, or … out",
    "> No … at … (…): check them",
    "> leave it out … check it",
    "> …",
    "No prose",
    "> check it,\n> or leave it out",
  ].join("\n\n");
  assert.deepEqual(unknownMessages(page, [source]), [
    '5: no message of the program is "No … at … (…): check them"',
    '7: no message of the program is "leave it out … check it"',
    '9: no message of the program is "…"',
  ]);
});

Deno.test("docs/troubleshooting.md quotes messages of the program alone, and README links it", async () => {
  const page = await Deno.readTextFile(join(ROOT, "docs/troubleshooting.md"));
  assert.ok(page.split("\n").filter((line) => line.startsWith("> ")).length >= 25);
  assert.deepEqual(unknownMessages(page, await readSources(join(ROOT, "src"))), []);
  assert.match(await Deno.readTextFile(join(ROOT, "README.md")), /\(docs\/troubleshooting\.md\)/);
});

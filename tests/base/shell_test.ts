import assert from "node:assert/strict";
import { shellWord } from "../../src/base/shell.ts";

Deno.test("shellWord() quotes what a shell would take apart, and nothing else", () => {
  assert.equal(shellWord("runs/2026-food_groups:1,2%+@=x.y"), "runs/2026-food_groups:1,2%+@=x.y");
  assert.equal(shellWord("My photos"), "'My photos'");
  assert.equal(shellWord("it's"), "'it'\\''s'");
  assert.equal(shellWord(""), "''");
  assert.equal(shellWord("$HOME;rm"), "'$HOME;rm'");
});

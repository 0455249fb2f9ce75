import assert from "node:assert/strict";
import Papa from "papaparse";
import { csvText, readTextCell, textCell } from "../../src/base/csv.ts";

const NAMES = [
  "plain ü 日本",
  "=1+1",
  "+cmd|' /C calc'!A0",
  "-2+3",
  "-1",
  "+1.5e3",
  "@SUM(A1)",
  "＝1",
  "'=quoted",
  "''-x",
  "'plain",
  "'-1",
  "\t=1",
  "\r=1",
  "a\x1b[31mb\x9b2J\x07",
  "a\u202egpj.exe\u200b\ufeff",
  "a\\x1bb",
  "a\\nb",
  "C:\\new\\x41",
  "back\\\\slash \x1b",
  "\\",
  'quote" and, comma\nbreak',
  "\u{e0001}tag",
  "👩‍🔬",
  "",
];

Deno.test("textCell() gives cells that are no formula and steer no terminal; readTextCell() gives the names back", () => {
  for (const name of NAMES) {
    const cell = textCell(name);
    const isNumber = /^[+-]?[\d.e]+$/.test(cell);
    assert.ok(isNumber || !/^[=+\-@\t\r\uff1d]/.test(cell), JSON.stringify(cell));
    // deno-lint-ignore no-control-regex -- none of these may be left
    assert.doesNotMatch(cell, /[\x00-\x1f\x7f-\x9f\u202e\u200b\ufeff]/);
    assert.equal(readTextCell(cell), name);
  }
  assert.deepEqual(new Set(NAMES.map(textCell)).size, NAMES.length);
  assert.equal(textCell("=1+1"), "'=1+1");
  assert.equal(textCell("a\x1b[0m"), "a\\x1b[0m");
  assert.equal(textCell("-1"), "-1");
  assert.equal(textCell("plain"), "plain");
});

Deno.test("csvText() is read back by a parser of CSV, numbers as they are", () => {
  const rows = NAMES.map((name) => [name, "-0.500000", 7]);
  const { data } = Papa.parse<string[]>(csvText(rows));
  assert.deepEqual(data.map(([name]) => readTextCell(name)), NAMES);
  assert.ok(data.every(([, loss, count]) => loss === "-0.500000" && count === "7"));
});

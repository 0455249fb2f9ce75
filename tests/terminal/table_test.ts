import assert from "node:assert/strict";
import { type Column, fitTable, wrapText } from "../../src/terminal/table.ts";

const COLUMNS: Column[] = [
  { title: "name" },
  { title: "size", align: "right", givesWay: 1 },
  { title: "file", givesWay: 2, leastWidth: 7 },
  { title: "note", givesWay: 3 },
];
const ROWS = [
  ["first", "1", "0123456789", "x"],
  ["second", "1000", "abc", ""],
];

Deno.test("fitTable() lines up a table that has room", () => {
  assert.deepEqual(fitTable(COLUMNS, ROWS, Infinity), {
    lines: [
      "name    size  file        note",
      "first      1  0123456789  x",
      "second  1000  abc",
    ],
    leftOut: [],
  });
  assert.deepEqual(fitTable(COLUMNS, ROWS, 30).leftOut, []);
});

Deno.test("fitTable() leaves out and cuts columns in their order", () => {
  assert.deepEqual(fitTable(COLUMNS, ROWS, 29), {
    lines: ["name    size  file", "first      1  0123456789", "second  1000  abc"],
    leftOut: ["note"],
  });
  assert.deepEqual(fitTable(COLUMNS, ROWS, 22).lines, [
    "name    size  file",
    "first      1  0123…789",
    "second  1000  abc",
  ]);
  assert.deepEqual(fitTable(COLUMNS, ROWS, 21).lines[1], "first      1  012…789");
  assert.deepEqual(fitTable(COLUMNS, ROWS, 20).leftOut, ["file", "note"]);
  assert.deepEqual(fitTable(COLUMNS, ROWS, 11).lines, ["name", "first", "second"]);
});

Deno.test("fitTable() keeps columns that never give way, whatever the width", () => {
  assert.deepEqual(fitTable(COLUMNS, ROWS, 1).lines, ["name", "first", "second"]);
  assert.deepEqual(fitTable(COLUMNS, [], 80).lines, ["name  size  file  note"]);
});

Deno.test("wrapText() breaks between words, and never within one", () => {
  assert.deepEqual(wrapText("to be or not to be", 9), ["to be or", "not to be"]);
  assert.deepEqual(wrapText("see https://host/path now", 8), ["see", "https://host/path", "now"]);
  assert.deepEqual(wrapText("all of it", Infinity), ["all of it"]);
});

import assert from "node:assert/strict";
import { jsonPieces, jsonText } from "../../src/base/json_pieces.ts";

const TREE = { a: [1, { b: [2, 3] }], c: NaN, d: undefined, e: {}, f: [] };
const TEXT = `{
  "a": [
    1,
    {"b":[2,3]}
  ],
  "c": null,
  "e": {},
  "f": []
}`;

Deno.test("jsonText() breaks two levels into lines, and reads back as JSON.stringify's would", () => {
  assert.equal(jsonText(TREE), TEXT);
  assert.deepEqual(JSON.parse(jsonText(TREE)), JSON.parse(JSON.stringify(TREE)));
  for (const value of [null, 5, "a\n", [], undefined]) {
    assert.equal(jsonText(value), JSON.stringify(value) ?? "null");
  }
});

Deno.test("jsonPieces() gives the same text with a line's end, in pieces of bounded size", () => {
  const decode = (tree: unknown) =>
    [...jsonPieces(tree)].map((piece) => new TextDecoder().decode(piece));
  assert.deepEqual(decode(TREE), [TEXT + "\n"]);
  const long = Array.from({ length: 20_000 }, (_, index) => ({ index }));
  const pieces = decode(long);
  assert.ok(pieces.length > 3);
  assert.deepEqual(JSON.parse(pieces.join("")), long);
});

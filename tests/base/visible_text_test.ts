import assert from "node:assert/strict";
import {
  escapeJson,
  visible,
  visibleJson,
  visibleMessage,
  visibleSource,
} from "../../src/base/visible_text.ts";

Deno.test("visible() escapes all that doesn't show, and keeps what emoji and scripts need", () => {
  assert.equal(
    visible("a\x1b]8;;x\x07\x9b\xad\u200b\u061c\u2028\u2066\ufeff"),
    "a\\x1b]8;;x\\x07\\x9b\\xad\\u200b\\u061c\\u2028\\u2066\\ufeff",
  );
  assert.equal(visible("admin\u200d"), "admin\\u200d");
  assert.equal(visible("x\u{e0001}"), "x\\u{e0001}");
  for (const text of ["👩‍🔬", "می‌خواهم", "क्‍ष", "Käfer 日本 e\u0301"]) {
    assert.equal(visible(text), text);
  }
});

Deno.test("visibleMessage() indents further lines, so that a name can't begin one, and says what it leaves out", () => {
  assert.equal(
    visibleMessage("Class a\nerror: disk full\n  b\r\nWarning: c\n"),
    "Class a\n  error: disk full\n  b\n  Warning: c",
  );
  const cut = visibleMessage(`${"x".repeat(5000)}: the cure`);
  assert.ok(cut.length <= 2000, String(cut.length));
  assert.match(cut, /^x+ … \(\d+ characters left out\) … x+: the cure$/);
  const left = Number(/\((\d+)/.exec(cut)![1]);
  assert.equal(cut.replace(/ … .* … /, "").length + left, 5010);
  const lines = visibleMessage("y\n".repeat(1000)).split("\n");
  assert.equal(lines.length, 201);
  assert.equal(lines.at(-1), "  … and 800 more lines");
});

Deno.test("visibleJson() and escapeJson() print nothing hidden, and parse to the same value", () => {
  const value = { "k\x9b": "a\u202eb\x1b[2J\n\u2028\u{e0001}", list: ["\x85", "ok"] };
  const line = visibleJson(value);
  assert.match(line, /^[\x20-\x7e]+$/);
  assert.deepEqual(JSON.parse(line), value);
  const text = escapeJson(JSON.stringify(value, undefined, 2));
  assert.match(text, /^[\x20-\x7e\n]+$/);
  assert.deepEqual(JSON.parse(text), value);
});

Deno.test("visibleSource() is visible() for the scripts of a page, for each character", () => {
  const own = (0, eval)(visibleSource()) as typeof visible;
  for (let code = 0; code < 0x20000; code++) {
    const text = `a${String.fromCodePoint(code)}b`;
    assert.equal(own(text), visible(text), code.toString(16));
  }
  assert.equal(own("\u{e0001}\u{1f469}\u200d\u{1f680}"), "\\u{e0001}\u{1f469}\u200d\u{1f680}");
});

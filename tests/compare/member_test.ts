import assert from "node:assert/strict";
import {
  decodeMessage,
  encodeMessage,
  type MemberMessage,
} from "../../src/compare/member_messages.ts";

Deno.test("decodeMessage() reads what encodeMessage() wrote, NaN and infinity included", () => {
  const messages: MemberMessage[] = [
    { call: "epochDone", args: [{ loss: NaN, other: [Infinity, -Infinity, 0.5, null] }, 3, true] },
    { call: "info", args: ["a line\nand another “one”"] },
    { end: { status: "failed", message: "why" } },
  ];
  for (const message of messages) {
    const line = encodeMessage(message);
    assert.ok(!line.includes("\n"));
    assert.deepEqual(decodeMessage(line), message);
  }
});

Deno.test("decodeMessage() takes nothing else for a message", () => {
  for (
    const line of ["", "hello", "{", "12", "null", '{"call":1,"args":[]}', '{"end":{"status":"x"}}']
  ) {
    assert.equal(decodeMessage(line), undefined, line);
  }
});

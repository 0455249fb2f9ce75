import assert from "node:assert/strict";
import { join } from "node:path";
import { PROJECT_ROOT } from "../../scripts/files.ts";
import {
  decodeMessage,
  encodeMessage,
  type MemberMessage,
} from "../../src/compare/member_messages.ts";
import { MEMBER_RIGHTS } from "../../src/compare/member_process.ts";

Deno.test("a run of a comparison has the rights of deno task train", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(join(PROJECT_ROOT, "deno.json")));
  const train = (tasks.train.command as string).split(" ").filter((word) => word.startsWith("--"));
  assert.deepEqual(MEMBER_RIGHTS, train);
});

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

import assert from "node:assert/strict";
import { RetryTimer } from "../../src/protocol/retry_timer.ts";

Deno.test("RetryTimer gives up after its time without progress, once, and never after its end", async () => {
  let asked = 0;
  const given = Promise.withResolvers<number>();
  const timer = new RetryTimer({ timeoutMs: 20, askAgain: () => asked++, giveUp: given.resolve });
  assert.ok(Number.isInteger(await given.promise), "whole seconds");
  assert.equal(asked, 0);
  timer.end();

  let gaveUp = false;
  const ended = new RetryTimer({ timeoutMs: 20, askAgain: () => {}, giveUp: () => gaveUp = true });
  ended.end();
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(gaveUp, false);
});

Deno.test("RetryTimer says after how many damaged messages asking again is pointless", () => {
  const timer = new RetryTimer({ askAgain: () => {}, giveUp: () => {} });
  assert.deepEqual(Array.from({ length: 6 }, () => timer.damaged()), [
    false,
    false,
    false,
    false,
    false,
    true,
  ]);
  timer.end();
});

import assert from "node:assert/strict";
import { SilenceTimer } from "../../src/protocol/silence_timer.ts";

Deno.test("SilenceTimer counts silence until the partner is heard, and stops", async () => {
  const ticks = Promise.withResolvers<number>();
  const timer = new SilenceTimer((silentMs) => ticks.resolve(silentMs));
  try {
    assert.deepEqual([timer.silentMs, timer.everHeard], [0, false]);
    const silent = await ticks.promise;
    assert.ok(silent > 0 && silent <= 1_000, `a late tick counts at most a second: ${silent}`);
    timer.heard();
    assert.deepEqual([timer.silentMs, timer.everHeard], [0, true]);
  } finally {
    timer.stop();
  }
});

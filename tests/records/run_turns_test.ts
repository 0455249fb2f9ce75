import assert from "node:assert/strict";
import { isBeginning, isTurn, stateAfter } from "../../src/records/run_turns.ts";

Deno.test("stateAfter() is the state of finished, interrupted, failed, running, resumed and killed runs", () => {
  const cases: [string | undefined, boolean, string][] = [
    ["finished", false, "finished"],
    ["finished", true, "finished"], // live.json goes a moment later
    ["interrupted", false, "interrupted"],
    ["failed", false, "failed"],
    ["started", true, "running"],
    ["resumed", true, "running"],
    ["started", false, "lost"], // killed
    ["resumed", false, "lost"],
    [undefined, true, "running"], // before its first event
    [undefined, false, "lost"],
  ];
  for (const [turn, lives, state] of cases) assert.equal(stateAfter(turn, lives), state, `${turn}`);
});

Deno.test("isTurn() and isBeginning() know the events that say how a run stands", () => {
  const all = ["started", "resumed", "finished", "interrupted", "failed", "epoch", "stopped"];
  const types = all.map((type) => ({ type }));
  assert.deepEqual(types.filter(isTurn).length, 5);
  assert.deepEqual(types.filter(isBeginning).map(({ type }) => type), ["started", "resumed"]);
});

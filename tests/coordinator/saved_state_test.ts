import assert from "node:assert/strict";
import { LockstepError } from "../../src/base/errors.ts";
import { RunEvents } from "../../src/events/run_events.ts";
import { SavedState } from "../../src/coordinator/state/saved_state.ts";

const readOnly = () =>
  Promise.reject(
    Object.assign(new Error("Read-only file system (os error 30): open '/r/a'"), { code: "EROFS" }),
  );

Deno.test("SavedState warns each time, forgets what was written later, and names the rest at the end", async () => {
  const events = new RunEvents();
  const warnings: string[] = [];
  const kept: boolean[] = [];
  events.add({
    name: "The test",
    hear: (event) => {
      if (event.type !== "warning") return;
      warnings.push(event.message);
      kept.push(event.kept);
    },
  });
  const saved = new SavedState("/r", events);
  for (const epoch of [1, 2]) {
    assert.equal(await saved.attempt("checkpoints/last", `epoch ${epoch}`, readOnly), false);
  }
  assert.equal(await saved.attempt("history.json", "epoch 2", readOnly), false);
  assert.equal(warnings.length, 3);
  assert.deepEqual(kept, [true, true, true], "events.jsonl has them, too");
  assert.match(
    warnings[1],
    /^checkpoints\/last of epoch 2 couldn't be written: \/r\/a can't be opened: the file system is read-only; remount/,
  );
  assert.ok(saved.isMissing("checkpoints/last"));
  assert.equal(await saved.attempt("history.json", "epoch 3", async () => {}), true);
  assert.throws(() => saved.requireAll(), (error: Error) => {
    assert.ok(error instanceof LockstepError && error.exitCode === 1);
    assert.match(error.message, /could not write checkpoints\/last of epoch 2 .*--resume \/r$/);
    assert.doesNotMatch(error.message, /history\.json/);
    return true;
  });
  saved.warnOfMissing();
  assert.match(warnings[3], /^Training was interrupted, but could not write checkpoints\/last/);
  assert.equal(await saved.attempt("checkpoints/last", "epoch 3", async () => {}), true);
  saved.requireAll();
  const bug = () => Promise.reject(new TypeError("x is not a function"));
  await assert.rejects(saved.attempt("history.json", "epoch 4", bug), TypeError);
});

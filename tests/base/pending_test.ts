import assert from "node:assert/strict";
import { delay, orAborted, within } from "../../src/base/async.ts";
import { Pending } from "../../src/base/pending.ts";

const REASON = new Error("told to end");

Deno.test("a Pending result is settled once, by whatever comes first", async () => {
  const pending = new Pending<number>();
  pending.finish(1);
  pending.fail(REASON);
  assert.equal(await pending.result(), 1);
  const failed = new Pending<number>();
  failed.fail(REASON); // nobody waits yet: no unhandled rejection
  failed.finish(1);
  await delay(0);
  await assert.rejects(failed.result(), REASON);
});

Deno.test("a Pending result ends with the signal's reason, also of one that has fired", async () => {
  const controller = new AbortController();
  const waiting = new Pending<void>().result({ signal: controller.signal });
  controller.abort(REASON);
  await assert.rejects(waiting, REASON);
  await assert.rejects(new Pending<void>().result({ signal: AbortSignal.abort(REASON) }), REASON);
});

Deno.test("a Pending result ends after its time, and leaves no timer behind when it comes before", async () => {
  const timeout = { ms: 10, makeError: () => new Error("too late") };
  await assert.rejects(new Pending<void>().result({ timeout }), { message: "too late" });
  const pending = new Pending<number>();
  const result = pending.result({ timeout: { ...timeout, ms: 60_000 } });
  pending.finish(2);
  assert.equal(await result, 2); // Deno's sanitizer finds a timer that is left
});

Deno.test("within() and orAborted() pass on what the work gives, and its failure", async () => {
  const late = () => new Error("late");
  assert.equal(await within(Promise.resolve(3), 1000, late), 3);
  await assert.rejects(within(Promise.reject(REASON), 1000, late), REASON);
  await assert.rejects(within(new Promise(() => {}), 5, late), { message: "late" });
  assert.equal(await orAborted(Promise.resolve(4), undefined), 4);
  assert.equal(await orAborted(Promise.resolve(5), new AbortController().signal), 5);
  await assert.rejects(orAborted(Promise.resolve(6), AbortSignal.abort(REASON)), REASON);
});

import assert from "node:assert/strict";
import { delay } from "../../src/base/async.ts";
import { RetriedWait } from "../../src/protocol/retried_wait.ts";

const silence = (seconds: number) => new Error(`silent for ${seconds} s`);

Deno.test("RetriedWait asks again after two seconds without progress, and ends with the result", async () => {
  let asked = 0;
  const wait: RetriedWait<number> = new RetriedWait<number>({
    askAgain: () => {
      asked++;
      wait.finish(7);
    },
    silence,
  });
  await delay(1_000);
  wait.progress();
  await delay(1_500);
  assert.equal(asked, 0, "progress puts it off");
  assert.equal(await wait.result(), 7);
  assert.equal(asked, 1); // Deno's sanitizer finds a timer that is left
});

Deno.test("RetriedWait fails after too long a silence, with a signal, or when it is told to", async () => {
  const options = { askAgain: () => {}, silence };
  const silent = new RetriedWait<void>({ ...options, timeoutMs: 30 });
  await assert.rejects(silent.result(), { message: /^silent for \d+ s$/ });
  const reason = new Error("told to end");
  const aborted = new RetriedWait<void>(options);
  await assert.rejects(aborted.result(AbortSignal.abort(reason)), reason);
  const failed = new RetriedWait<void>(options);
  failed.fail(reason);
  await assert.rejects(failed.result(), reason);
});

Deno.test("RetriedWait counts damaged messages, five of which are borne", () => {
  const wait = new RetriedWait<void>({ askAgain: () => {}, silence });
  assert.deepEqual(Array.from({ length: 6 }, () => wait.damaged()), [
    ...Array(5).fill(false),
    true,
  ]);
  wait.finish();
});

import assert from "node:assert/strict";
import { delay } from "../../src/base/async.ts";
import { FutexWords } from "../../src/base/futex.ts";
import { wonAtLeastOnce } from "../support/at_once.ts";
import { createSharedSegment, mapSharedSegment } from "../../src/base/shared_memory.ts";

/** Two mappings of the same words, as two processes have them. */
function mappings(path: string): [FutexWords, FutexWords] {
  return [
    new FutexWords(mapSharedSegment(path, 4096)),
    new FutexWords(mapSharedSegment(path, 4096)),
  ];
}

Deno.test("FutexWords: who waits for a word is woken through another mapping, and only for that word", async () => {
  using segment = createSharedSegment("futex-test", 4096);
  const [waiter, waker] = mappings(segment.path);
  // By itself, it wakes after 250 ms.
  await wonAtLeastOnce(async () => {
    Atomics.store(waker.words, 2, 0);
    const waiting = waiter.wait(2, 0).then(() => Atomics.load(waiter.words, 2));
    await delay(50);
    assert.equal(waker.wake(3), 0);
    Atomics.store(waker.words, 2, 9);
    const woken = waker.wake(2);
    assert.equal(await waiting, 9);
    return woken === 1;
  });
});

Deno.test("FutexWords: waits end at once for another value, and by themselves", async () => {
  using segment = createSharedSegment("futex-test", 4096);
  const [futex] = mappings(segment.path);
  Atomics.store(futex.words, 3, 5);
  await wonAtLeastOnce(async () => {
    const begin = performance.now();
    for (let call = 0; call < 3; call++) {
      await futex.wait(3, 4);
      futex.waitBlocking(3, 4);
    }
    futex.waitBlocking(3, 5);
    const quick = performance.now() - begin; // six waits for other values and one of a millisecond
    await futex.wait(3, 5);
    const slept = performance.now() - begin - quick;
    assert.ok(slept >= 245, "nobody wakes it");
    return quick < slept;
  });
});

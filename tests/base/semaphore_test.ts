import assert from "node:assert/strict";
import { Semaphore } from "../../src/base/semaphore.ts";

Deno.test("Semaphore runs so many tasks at a time, in their order, also after one that fails", async () => {
  const semaphore = new Semaphore(2);
  const gates = Array.from({ length: 4 }, () => Promise.withResolvers<number>());
  const begun: number[] = [];
  const results = gates.map(({ promise }, index) =>
    semaphore.run(() => {
      begun.push(index);
      return promise;
    }).catch((error: Error) => error.message)
  );
  await Promise.resolve();
  assert.deepEqual(begun, [0, 1]);
  gates[1]!.reject(new Error("broken"));
  await results[1];
  assert.deepEqual(begun, [0, 1, 2]);
  gates[0]!.resolve(10);
  gates[2]!.resolve(12);
  gates[3]!.resolve(13);
  assert.deepEqual(await Promise.all(results), [10, "broken", 12, 13]);
  assert.equal(await semaphore.run(() => Promise.resolve("free again")), "free again");
});

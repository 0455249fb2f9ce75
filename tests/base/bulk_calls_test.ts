import assert from "node:assert/strict";
import { bulkCalls } from "../../src/base/bulk_calls.ts";

const COUNT = 20_000;

/** Makes {@linkcode COUNT} calls of which the synchronous ones take `blockMs` each; returns how many there were of each. */
async function callAll(blockMs: number): Promise<{ sync: number; async: number; most: number }> {
  const calls = new Uint8Array(COUNT);
  const counts = { sync: 0, async: 0, most: 0 };
  let running = 0;
  await bulkCalls(COUNT, {
    sync: (index) => {
      const end = performance.now() + blockMs;
      while (performance.now() < end);
      calls[index]++;
      counts.sync++;
    },
    async: async (index) => {
      counts.most = Math.max(counts.most, ++running);
      await Promise.resolve();
      running--;
      calls[index]++;
      counts.async++;
    },
  }, { slowMs: 0.5 });
  assert.ok(calls.every((times) => times === 1), "each once");
  return counts;
}

Deno.test("bulkCalls() makes calls that return at once one by one, and others many at a time", async () => {
  const quick = await callAll(0);
  assert.ok(quick.sync > COUNT / 2, JSON.stringify(quick)); // the machine may pause now and then
  const slow = await callAll(1);
  assert.ok(slow.sync < 1000, JSON.stringify(slow));
  assert.equal(slow.most, 64);
});

Deno.test("bulkCalls() gives signals their turn, and ends with what a call throws", async () => {
  const stop = new AbortController();
  setTimeout(() => stop.abort(new Error("enough")));
  let made = 0;
  const endless = bulkCalls(Infinity, { sync: () => made++, async: () => Promise.resolve() }, {
    signal: stop.signal,
    slowMs: Infinity,
  });
  await assert.rejects(endless, /enough/);
  assert.ok(made > 0);
  const failing = () => {
    throw new Error("broken");
  };
  const later = () => Promise.reject(new Error("broken later"));
  await assert.rejects(bulkCalls(1, { sync: failing, async: later }), /broken$/);
  const options = { slowMs: 0 };
  await assert.rejects(bulkCalls(200, { sync: () => {}, async: later }, options), /broken later/);
  await bulkCalls(0, { sync: failing, async: later });
});

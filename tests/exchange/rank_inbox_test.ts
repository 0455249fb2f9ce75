import assert from "node:assert/strict";
import { planChunks } from "../../src/exchange/chunks.ts";
import { narrow } from "../../src/exchange/narrow.ts";
import { RankInbox } from "../../src/exchange/rank_inbox.ts";

const CHUNK = 4;
/** Ten floats in chunks of one: as many messages as the least payload makes. */
const PLAN = planChunks(40, 1, CHUNK);
const CONTRIBUTION = {
  rank: 3,
  samples: 5,
  weight: 2.5,
  lossSum: "NaN",
  correct: 4,
  statisticsRows: 5,
  trackedBatches: 1,
  times: null,
  bytes: 40,
  chunkBytes: CHUNK,
  dtype: "float32",
  narrowBytes: 0,
} as const;

const bytesOf = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
const at = (epoch: number, step: number, chunk = 0) => ({ epoch, step, chunk, tooLarge: false });

Deno.test("RankInbox keeps a step's contribution and chunks, and knows what is news", () => {
  const inbox = new RankInbox(3, PLAN);
  assert.deepEqual([inbox.samples, inbox.place, inbox.hasBegun({ epoch: 1, step: 0 })], [
    0,
    undefined,
    false,
  ]);
  assert.equal(
    inbox.add(at(1, 0, 2), bytesOf(7)),
    true,
    "a chunk may come before the contribution",
  );
  assert.equal(inbox.begin({ ...CONTRIBUTION, epoch: 1, step: 0 }), true);
  assert.equal(inbox.begin({ ...CONTRIBUTION, epoch: 1, step: 0 }), false, "repeated");
  assert.equal(inbox.add(at(1, 0, 2), bytesOf(8)), false, "repeated");
  assert.deepEqual([inbox.samples, inbox.weight, inbox.correct], [5, 2.5, 4]);
  assert.ok(Number.isNaN(inbox.lossSum));
  assert.ok(inbox.hasBegun({ epoch: 1, step: 0 }) && inbox.has(2) && !inbox.has(1));
  assert.deepEqual([...inbox.chunk(2).values], [7]);
  assert.equal(inbox.add(at(1, 0, 1), new Uint8Array(8)), false, "of another length");
  assert.equal(inbox.add(at(1, 0, 99), bytesOf(1)), false, "of no vector");
});

Deno.test("RankInbox moves on with the rank, and never back", () => {
  const inbox = new RankInbox(0, PLAN);
  inbox.begin({ ...CONTRIBUTION, epoch: 1, step: 7 });
  inbox.add(at(1, 7), bytesOf(1));
  assert.equal(inbox.add(at(2, 0), bytesOf(2)), true);
  assert.deepEqual([inbox.place, inbox.samples], [{ epoch: 2, step: 0 }, 0]);
  assert.deepEqual([...inbox.chunk(0).values], [2]);
  assert.equal(inbox.begin({ ...CONTRIBUTION, epoch: 1, step: 8 }), false, "late");
  assert.equal(inbox.add(at(1, 99, 1), bytesOf(3)), false, "late");
});

Deno.test("RankInbox takes no chunk a second time once it is released, and lists what is missing", () => {
  const inbox = new RankInbox(0, PLAN);
  for (const chunk of [0, 1, 3]) inbox.add(at(1, 0, chunk), bytesOf(chunk));
  assert.deepEqual(inbox.missing(0), [2, 4, 5, 6, 7, 8, 9]);
  assert.deepEqual(inbox.missing(3), [4, 5, 6, 7, 8, 9]);
  inbox.release(0);
  assert.equal(inbox.add(at(1, 0, 0), bytesOf(9)), false);
  inbox.add(at(1, 0, 4), bytesOf(4));
  assert.deepEqual(
    [...inbox.chunk(4).values, ...inbox.chunk(1).values],
    [4, 1],
    "in the freed memory",
  );
});

Deno.test("RankInbox widens what travelled in 16 bits", () => {
  const wire = { dtype: "bfloat16", gradientBytes: 8 } as const;
  const inbox = new RankInbox(0, planChunks(8, 1, 1024, wire));
  const payload = new Uint8Array(4);
  narrow(payload, Float32Array.of(1.5, -2), "bfloat16");
  assert.equal(inbox.add({ ...at(1, 0), tooLarge: true }, payload), true);
  assert.deepEqual([...inbox.chunk(0).values], [1.5, -2]);
  assert.equal(inbox.chunk(0).tooLarge, true);
});

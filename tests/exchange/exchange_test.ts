import assert from "node:assert/strict";
import { delay } from "../../src/base/async.ts";
import { makeSegment, openExchange, openReducer } from "../../src/exchange/open_exchange.ts";
import { EXCHANGE_NAMES } from "../../src/exchange/registry.ts";
import {
  BYTES,
  contribution,
  floatsOf,
  oneStep,
  openBench,
  reference,
  takeStep,
} from "../support/exchange_bench.ts";
import { startPlainRig, startPlainServer, startRig } from "../support/nats_server.ts";
import { testContract } from "./contract.ts";

/** The encoding of a contribution whose vector lies in shared memory. */
const SHARED = { chunkBytes: 0, dtype: "float32", narrowBytes: 0 } as const;

for (const kind of EXCHANGE_NAMES) {
  testContract(kind, "a server", startRig);

  Deno.test(`steps go on when the server was killed and started again (${kind})`, async () => {
    await using rig = await startPlainRig();
    const port = Number(new URL(rig.server.url.replace("nats:", "http:")).port);
    await using bench = await openBench(rig, kind, { worldSize: 2 });
    const steps = 40;
    const restart = (async () => {
      await delay(300);
      await rig.server[Symbol.asyncDispose]();
      await delay(300);
      return await startPlainServer("", port);
    })();
    const rank = async (own: number) => {
      const sums: Uint8Array[] = [];
      for (let step = 0; step < steps; step++) {
        const { vector } = await takeStep(bench.ranks[own], contribution(own, step, 4));
        sums.push(vector);
      }
      return sums;
    };
    const reduce = async () => {
      for (let step = 0; step < steps; step++) {
        await bench.reducer.reduce({ epoch: 1, step }, () => "continue");
      }
    };
    const [first, second] = await Promise.all([rank(0), rank(1), reduce()]);
    for (const step of first.keys()) {
      const contributions = [0, 1].map((own) => contribution(own, step, 4));
      assert.deepEqual(floatsOf(first[step]), reference(contributions));
      assert.deepEqual(first[step], second[step]);
    }
    rig.server = await restart;
  });
}

Deno.test("SharedReducer says its last word again to a rank that missed it", async () => {
  await using rig = await startRig();
  const shape = { worldSize: 1, vectorBytes: BYTES, regions: 1, timeoutMs: 20_000 };
  using segment = makeSegment("shared-memory", shape, assert.fail)!;
  const reducer = await openReducer(await rig.open("coordinator"), shape, segment);
  // A worker that hears nothing at first: it sends from a link of its own, and listens only later.
  const mute = await rig.open("rank 0");
  const own = contribution(0, 0, 4);
  const statistics = { statisticsRows: own.samples, trackedBatches: 1 };
  const { vector: _, ...totals } = { ...own, ...statistics, times: null };
  const subject = mute.subjects.gradient(0);
  mute.publish(subject, "contribution", { rank: 0, ...totals, bytes: BYTES, ...SHARED });
  const reduced = reducer.reduce({ epoch: 1, step: 0 }, () => "stop");
  await delay(200); // the word to reduce goes out and is lost
  const rank = await openExchange(await rig.open("rank 0"), { rank: 0, ...shape }, segment);
  const result = await takeStep(rank, own); // asks again after 2 s of silence
  assert.equal((await reduced).action, "stop");
  assert.deepEqual(result.vector, own.vector);
  await rank.exchange.close();
  await reducer.close();
});

Deno.test("SharedReducer ignores late and foreign messages, and names another model", async () => {
  await using rig = await startRig();
  await using bench = await openBench(rig, "shared-memory", { worldSize: 2 });
  const place = { rank: 1, epoch: 1, step: 1 };
  const forger = await rig.open("rank 1");
  const subject = forger.subjects.gradient(1);
  const early = { ...place, finite: false, worstRank: 1, squares: 0 };
  forger.publish(subject, "shard", early); // before there is anything to add
  forger.publish(subject, "shard", { ...early, rank: 9 });
  await forger.flush();
  for (const step of [0, 1]) {
    const contributions = [0, 1].map((rank) => contribution(rank, step, 4));
    const [totals, first] = await oneStep(bench, contributions);
    assert.ok(totals.finite);
    assert.deepEqual(floatsOf(first.vector), reference(contributions));
  }
  const waiting = bench.reducer.reduce({ epoch: 2, step: 0 }, () => "continue");
  const statistics = { statisticsRows: 1, trackedBatches: 1 };
  const counts = { samples: 1, weight: 1, lossSum: 1, correct: 1, ...statistics, times: null };
  const other = { rank: 1, epoch: 2, step: 0, ...counts, bytes: 8, ...SHARED };
  forger.publish(subject, "contribution", other);
  await assert.rejects(waiting, { message: /^Rank 1 exchanges 8 bytes, the coordinator \d+ in/ });
});

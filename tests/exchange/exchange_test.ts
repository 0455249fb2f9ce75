import assert from "node:assert/strict";
import { delay } from "../../src/base/async.ts";
import { makeSegment, openExchange, openReducer } from "../../src/exchange/open_exchange.ts";
import { type FloatRange, floatsOf as wordsOf, shardOf } from "../../src/base/float_range.ts";
import type { StepContribution } from "../../src/exchange/gradient_exchange.ts";
import {
  BYTES,
  contribution,
  FLOATS,
  floatsOf,
  oneStep,
  openBench,
  reference,
  takeStep,
} from "../support/exchange_bench.ts";
import { startPlainRig, startPlainServer, startRig } from "../support/nats_server.ts";

/** The encoding of a contribution whose vector lies in shared memory. */
const SHARED = { chunkBytes: 0, dtype: "float32", narrowBytes: 0 } as const;

for (const kind of ["nats", "shared-memory"] as const) {
  for (const worldSize of [1, 2, 3, 4]) {
    Deno.test(`reduce() gives ${worldSize} ranks the exact weighted sum, step after step (${kind})`, async () => {
      await using rig = await startRig();
      await using bench = await openBench(rig, kind, worldSize);
      for (const step of [0, 1, 2]) {
        const contributions = Array.from(
          { length: worldSize },
          (_, rank) => contribution(rank, step, 5 + 3 * rank),
        );
        const [totals, ...results] = await oneStep(bench, contributions);
        const expected = reference(contributions);
        const sum = (pick: (own: StepContribution) => number) =>
          contributions.map(pick).reduce((a, b) => a + b, 0);
        for (const result of results) {
          assert.deepEqual(floatsOf(result.vector), expected);
          assert.equal(result.samples, sum(({ samples }) => samples));
          assert.equal(result.lossSum, sum(({ lossSum }) => lossSum));
          assert.equal(result.correct, sum(({ correct }) => correct));
          assert.deepEqual([result.action, result.finite], ["continue", true]);
        }
        const { samples, lossSum, correct } = results[0];
        assert.deepEqual(totals, {
          samples,
          weight: samples,
          lossSum,
          correct,
          statisticsRows: samples,
          trackedBatches: 0,
          finite: true,
          worstRank: undefined,
          action: "continue",
          ranks: contributions.map(({ samples, times }) => ({ samples, times })),
        });
      }
    });
  }

  Deno.test(`reduce() leaves a rank without samples out, which gets the result (${kind})`, async () => {
    await using rig = await startRig();
    await using bench = await openBench(rig, kind, 2);
    const idle = { ...contribution(1, 0, 0), lossSum: 0, correct: 0 };
    new Float32Array(idle.vector.buffer).fill(NaN); // what an idle rank holds must not matter
    const busy = contribution(0, 0, 7);
    const [, first, second] = await oneStep(bench, [busy, idle]);
    assert.deepEqual(first.vector, busy.vector);
    assert.deepEqual(second.vector, busy.vector);
    assert.equal(second.samples, 7);
  });

  Deno.test(`reduce() tells all ranks to stop, and works with an empty vector (${kind})`, async () => {
    await using rig = await startRig();
    await using bench = await openBench(rig, kind, 2, 0);
    const contributions = [0, 1].map((rank) => contribution(rank, 0, 1, 0));
    const [totals, ...results] = await Promise.all([
      bench.reducer.reduce({ epoch: 1, step: 0 }, () => "stop"),
      ...contributions.map((own, rank) => bench.exchanges[rank].reduceScatter(own)),
    ]);
    assert.equal(totals.action, "stop");
    assert.deepEqual(results.map(({ action }) => action), ["stop", "stop"]);
  });

  Deno.test(`reduce() names the rank whose vector or loss is not finite (${kind})`, async () => {
    await using rig = await startRig();
    await using bench = await openBench(rig, kind, 2);
    const poisoned = contribution(1, 0, 4);
    new Float32Array(poisoned.vector.buffer)[FLOATS - 1] = Infinity;
    const [totals, ...results] = await oneStep(bench, [contribution(0, 0, 4), poisoned]);
    assert.deepEqual([totals.finite, totals.worstRank], [false, 1]);
    assert.deepEqual(results.map(({ finite }) => finite), [false, false]);

    const lossless = { ...contribution(0, 1, 4), lossSum: NaN };
    const [next, ...after] = await oneStep(bench, [lossless, contribution(1, 1, 4)]);
    assert.deepEqual([next.finite, next.worstRank], [false, 0]);
    assert.ok(after.every((result) => !result.finite && Number.isNaN(result.lossSum)));
  });

  Deno.test(`reduce() uses contributions that come before the call (${kind})`, async () => {
    await using rig = await startRig();
    await using bench = await openBench(rig, kind, 1);
    const own = contribution(0, 0, 4);
    const early = takeStep(bench.exchanges[0], own);
    await delay(200);
    await bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue");
    assert.deepEqual((await early).vector, own.vector);
  });

  Deno.test(`reduce() and reduceScatter() end with a clear error when the others keep silent (${kind})`, async () => {
    await using rig = await startRig();
    await using bench = await openBench(rig, kind, 2, BYTES, 1_000);
    await Promise.all([
      assert.rejects(bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue"), {
        name: "LockstepError",
        message: "No gradients from rank 1 for 1 s in epoch 1, step 0",
      }),
      assert.rejects(bench.exchanges[0].reduceScatter(contribution(0, 0, 4)), {
        name: "LockstepError",
        message: "Rank 0 got no answer from the coordinator for 1 s in epoch 1, step 0",
      }),
    ]);
  });

  Deno.test(`reduce() and reduceScatter() end at once with the signal's reason (${kind})`, async () => {
    await using rig = await startRig();
    await using bench = await openBench(rig, kind, 2);
    const controller = new AbortController();
    const { signal } = controller;
    setTimeout(() => controller.abort(new Error("told to end")), 50);
    const reason = { message: "told to end" };
    await Promise.all([
      assert.rejects(bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue", signal), reason),
      assert.rejects(bench.exchanges[0].reduceScatter(contribution(0, 0, 4), signal), reason),
    ]);
  });

  Deno.test(`steps go on when the server was killed and started again (${kind})`, async () => {
    await using rig = await startPlainRig();
    const port = Number(new URL(rig.server.url.replace("nats:", "http:")).port);
    await using bench = await openBench(rig, kind, 2);
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
        const { vector } = await takeStep(bench.exchanges[own], contribution(own, step, 4));
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
  const exchange = await openExchange(await rig.open("rank 0"), { rank: 0, ...shape }, segment);
  const result = await takeStep(exchange, own); // asks again after 2 s of silence
  assert.equal((await reduced).action, "stop");
  assert.deepEqual(result.vector, own.vector);
  await exchange.close();
  await reducer.close();
});

Deno.test("SharedReducer ignores late and foreign messages, and names another model", async () => {
  await using rig = await startRig();
  await using bench = await openBench(rig, "shared-memory", 2);
  const place = { rank: 1, epoch: 1, step: 1 };
  const forger = await rig.open("rank 1");
  const subject = forger.subjects.gradient(1);
  const early = { ...place, finite: false, worstRank: 1, measure: 0 };
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

for (const kind of ["nats", "shared-memory"] as const) {
  Deno.test(`measure() sees each share of the sum once, and its numbers are added up (${kind})`, async () => {
    await using rig = await startRig();
    await using bench = await openBench(rig, kind, 3);
    const contributions = [0, 1, 2].map((rank) => contribution(rank, 0, 4));
    const squares = (values: Float32Array, { begin, end }: FloatRange) => {
      let sum = 0;
      for (let index = begin; index < end; index++) sum += values[index] ** 2;
      return sum;
    };
    const measured = contributions.map((own, rank) => ({
      ...own,
      measure: (range: FloatRange) => squares(wordsOf(bench.exchanges[rank].reduced), range),
    }));
    const [, ...results] = await oneStep(bench, measured);
    const sum = reference(contributions);
    const shards = [0, 1, 2].map((rank) => squares(sum, shardOf(rank, 3, BYTES)));
    for (const { measure } of results) {
      assert.equal(measure, shards.reduce((all, own) => all + own, 0), "the same bits");
    }
  });
}

/** Running statistics in the tests' vectors. */
const STATISTICS = 40_001;

for (const kind of ["nats", "shared-memory"] as const) {
  Deno.test(`running statistics are a mean over rows, gradients one over class weights (${kind})`, async () => {
    await using rig = await startRig();
    const border = FLOATS - STATISTICS;
    const wire = { dtype: "float32", gradientBytes: 4 * border } as const;
    await using bench = await openBench(rig, kind, 3, BYTES, 20_000, wire);
    const cases = [
      { weights: [0.6, 9, 3], rows: [3, 3, 3], tracked: [1, 1, 1] },
      // A rank whose samples' classes have weight 0; a rank that had one value per channel.
      { weights: [0, 2, 1], rows: [4, 2, 0], tracked: [2, 1, 0] },
      // Nothing to learn from, but rows for the statistics.
      { weights: [0, 0, 0], rows: [3, 2, 2], tracked: [1, 1, 1] },
      // And the other way round: rows of single values alone.
      { weights: [1, 1, 1], rows: [0, 0, 0], tracked: [0, 0, 0] },
    ];
    for (const [step, { weights, rows, tracked }] of cases.entries()) {
      const contributions = weights.map((weight, rank) => ({
        ...contribution(rank, step, Math.max(1, rows[rank])),
        weight,
        statisticsRows: rows[rank],
        trackedBatches: tracked[rank],
      }));
      // Statistics that don't count must not matter, whatever they are.
      contributions.forEach(({ vector }, rank) => {
        if (rows[rank] === 0) wordsOf(vector).fill(NaN, border);
      });
      const [totals, ...results] = await oneStep(bench, contributions);
      const vectors = contributions.map(({ vector }) => floatsOf(vector));
      const expected = new Float32Array(FLOATS);
      meanOf(expected.subarray(0, border), vectors.map((v) => v.subarray(0, border)), weights);
      meanOf(expected.subarray(border), vectors.map((v) => v.subarray(border)), rows);
      const sum = (values: readonly number[]) => values.reduce((all, value) => all + value, 0);
      assert.equal(totals.statisticsRows, sum(rows));
      assert.equal(totals.trackedBatches, Math.max(...tracked));
      for (const { vector, finite, weight, statisticsRows } of results) {
        assert.deepEqual([finite, weight, statisticsRows], [true, sum(weights), sum(rows)]);
        // -0 counts as 0; a difference of whole vectors would take minutes to print.
        const at = floatsOf(vector).findIndex((value, index) => value !== expected[index]);
        assert.equal(at, -1, `step ${step}`);
      }
    }
  });
}

/** Σ (w / W) · vector over vectors with a weight above 0, rounded to float32 at each step; 0 without such. */
function meanOf(
  target: Float32Array,
  vectors: readonly Float32Array[],
  weights: readonly number[],
): void {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  vectors.forEach((vector, rank) => {
    if (weights[rank] === 0) return;
    const share = Math.fround(weights[rank] / total);
    vector.forEach((value, at) => target[at] += Math.fround(share * value));
  });
}

for (const kind of ["nats", "shared-memory"] as const) {
  Deno.test(`a sum goes where it is asked to, and the vectors stay as they are (${kind})`, async () => {
    await using rig = await startRig();
    await using bench = await openBench(rig, kind, 3);
    const reduce = (contributions: readonly StepContribution[], step: number) =>
      Promise.all([
        bench.reducer.reduce({ epoch: 1, step }, () => "continue"),
        ...bench.exchanges.map(async (exchange, rank) => {
          const { vector, regions: [target] } = exchange;
          vector.set(contributions[rank].vector);
          await exchange.reduceScatter({ ...contributions[rank], vector, target });
          return target.slice();
        }),
      ]);
    for (const step of [0, 1, 2]) {
      const contributions = [0, 1, 2].map((rank) => contribution(rank, step, 4 + rank));
      const [, ...sums] = await reduce(contributions, step);
      for (const [rank, { vector }] of bench.exchanges.entries()) {
        assert.deepEqual(floatsOf(sums[rank]), reference(contributions));
        assert.deepEqual(floatsOf(vector), floatsOf(contributions[rank].vector));
      }
    }
    for (const bad of [0, 1, 2]) {
      const broken = [0, 1, 2].map((rank) => contribution(rank, 3 + bad, 4));
      for (const at of [0, FLOATS - 1]) wordsOf(broken[bad].vector)[at] = NaN;
      const [totals] = await reduce(broken, 3 + bad);
      assert.deepEqual([totals.finite, totals.worstRank], [false, bad]);
    }
  });
}

Deno.test("what offer() hands on is summed before the rest is there, and its sum has the same bits", async () => {
  await using rig = await startRig();
  await using bench = await openBench(rig, "nats", 2);
  const watcher = await rig.open("rank 0");
  const sums: number[][] = [[], [], []];
  watcher.subscribe(watcher.subjects.reduced, {
    reduced: ({ header }) => void sums[header.step].push(header.chunk),
  });
  await watcher.flush();
  for (const step of [0, 1, 2]) {
    const contributions = [0, 1].map((rank) => contribution(rank, step, 4 + rank));
    const values = contributions.map(({ vector }) => wordsOf(vector));
    const unfinished = values.map((all) => all.slice(0, FLOATS / 2));
    values.forEach((all) => all.fill(NaN, 0, FLOATS / 2)); // the backward pass has not come there
    const reduced = bench.reducer.reduce({ epoch: 1, step }, () => "continue");
    contributions.forEach((own, rank) => {
      bench.exchanges[rank].offer!(own, FLOATS - 10);
      bench.exchanges[rank].offer!(own, Math.ceil(FLOATS / 2));
    });
    for (let wait = 0; wait < 500 && sums[step].length < 2; wait++) await delay(10);
    await delay(50); // and no more
    assert.deepEqual(sums[step], [0, 1], "two whole chunks of five");
    values.forEach((all, rank) => all.set(unfinished[rank]));
    const results = await Promise.all(
      contributions.map((own, rank) => takeStep(bench.exchanges[rank], own)),
    );
    assert.ok((await reduced).finite);
    for (const { vector } of results) assert.deepEqual(floatsOf(vector), reference(contributions));
  }
});

Deno.test("a rank that takes long for its first layers is waited for, and what fails meanwhile is thrown", async () => {
  await using rig = await startRig();
  await using bench = await openBench(rig, "nats", 1, BYTES, 3_000);
  const [exchange] = bench.exchanges;
  const own = contribution(0, 0, 4);
  exchange.offer!(own, FLOATS / 2);
  await delay(4_500); // longer than the others may keep silent
  const result = takeStep(exchange, own);
  await bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue");
  assert.deepEqual((await result).vector, own.vector);

  const next = contribution(0, 1, 4);
  exchange.offer!(next, FLOATS / 2);
  await assert.rejects(exchange.reduceScatter(contribution(0, 2, 4)), /a step is still running/);
  const closed = exchange.reduceScatter(next);
  await exchange.close();
  await assert.rejects(closed, /closed in the middle of a step/);
});

Deno.test("an exchange that is closed after offer() leaves nothing running", async () => {
  await using rig = await startRig();
  await using bench = await openBench(rig, "nats", 1);
  bench.exchanges[0].offer!(contribution(0, 0, 4), FLOATS / 2);
});

Deno.test("allGather() waits for all shares, and goes on when its messages were lost", async () => {
  await using rig = await startPlainRig();
  const port = Number(new URL(rig.server.url.replace("nats:", "http:")).port);
  await using bench = await openBench(rig, "shared-memory", 2);
  const { exchanges } = bench;
  await Promise.all([
    bench.reducer.reduce({ epoch: 1, step: 0 }, () => "stop"),
    ...exchanges.map((exchange, rank) => exchange.reduceScatter(contribution(rank, 0, 4))),
  ]);
  const [first, second] = exchanges;
  const words = exchanges.map(({ regions: [region] }) => wordsOf(region));
  words[0][0] = 7;
  let gathered = false;
  const early = first.allGather().then(() => gathered = true);
  await delay(150);
  assert.ok(!gathered, "rank 1 has not written yet");
  await rig.server[Symbol.asyncDispose]();
  words[1][second.shard.begin] = 8;
  const late = second.allGather(); // its word is lost with the server
  await delay(150);
  rig.server = await startPlainServer("", port);
  await Promise.all([early, late]);
  assert.deepEqual([words[1][0], words[0][second.shard.begin]], [7, 8]);
});

Deno.test("allGather() ends with a clear error when another rank keeps silent, and by its signal", async () => {
  await using rig = await startRig();
  await using bench = await openBench(rig, "shared-memory", 2, BYTES, 1_000);
  const [exchange] = bench.exchanges;
  await assert.rejects(exchange.allGather(), { message: "allGather() was called without a sum" });
  await Promise.all([
    bench.reducer.reduce({ epoch: 1, step: 0 }, () => "stop"),
    ...bench.exchanges.map((own, rank) => own.reduceScatter(contribution(rank, 0, 4))),
  ]);
  await assert.rejects(exchange.allGather(), {
    message: "Rank 0 got no answer from the coordinator for 1 s in epoch 1, step 0",
  });
  await assert.rejects(exchange.allGather(AbortSignal.abort(new Error("told to end"))), {
    message: "told to end",
  });
});

Deno.test("shardOf() covers a vector once, in order, whatever its length and the number of ranks", () => {
  for (const floats of [0, 1, 15, 16, 17, 1000, FLOATS]) {
    for (const worldSize of [1, 2, 3, 7, 64]) {
      let next = 0;
      for (let rank = 0; rank < worldSize; rank++) {
        const { begin, end } = shardOf(rank, worldSize, 4 * floats);
        assert.equal(begin, next);
        assert.ok(end >= begin && (end % 16 === 0 || end === floats));
        next = end;
      }
      assert.equal(next, floats);
    }
  }
});

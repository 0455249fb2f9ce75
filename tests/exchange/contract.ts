/**
 * The contract of an all-reduce, which every exchange passes.
 *
 * @module
 */
import assert from "node:assert/strict";
import { delay } from "../../src/base/async.ts";
import { type FloatRange, floatsOf as viewOf, shardOf } from "../../src/base/float_range.ts";
import type { ExchangeLink } from "../../src/exchange/rank_end.ts";
import type { GradientExchange } from "../../src/exchange/gradient_exchange.ts";
import {
  type Bench,
  type BenchOptions,
  bytesOf,
  contribution,
  FLOATS,
  floatsOf,
  type Links,
  oneStep,
  openBench,
  reduceScatter,
  takeStep,
  type TestContribution,
  write,
} from "../support/exchange_bench.ts";
import type { TestedExchange } from "../support/exchanges.ts";

/** Values of a chunk over NATS. */
const CHUNK = 262_144;
/** Values of vectors that end at, before and behind the edges of cache lines and chunks. */
const EDGES = [0, 1, 15, 16, 17, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 1];
/** Running statistics at the end of a vector. */
const STATISTICS = 40_001;
/** Values of a vector where its length doesn't matter: two chunks and a bit. */
const SHORT = 2 * CHUNK + 101;

const REASON = new Error("told to end");

/** Opens what the links of one test go through. */
export type OpenLinks = () => Promise<Links<ExchangeLink> & AsyncDisposable>;

/** The tests of the contract, by what they are about. */
const GROUPS = {
  sums: sumTests,
  counts: countTests,
  nonFinite: nonFiniteTests,
  order: orderTests,
  smallSums: smallSumTests,
  ends: endTests,
} as const;

/**
 * Registers the contract's tests for an exchange.
 *
 * @param shape What all its benches have in common
 * @param groups The tests to register
 */
export function testContract(
  name: TestedExchange,
  over: string,
  openLinks: OpenLinks,
  shape: Partial<BenchOptions> = {},
  groups: readonly (keyof typeof GROUPS)[] = Object.keys(GROUPS) as (keyof typeof GROUPS)[],
): void {
  const test = (what: string, run: (open: Open) => Promise<void>) =>
    Deno.test(`${name} over ${over}: ${what}`, async () => {
      await using links = await openLinks();
      await run((options) => openBench(links, name, { ...shape, ...options }));
    });
  for (const group of groups) GROUPS[group](test, name);
}

/** Values that a sum in another order, or in float32, would round otherwise. */
function smallValues(rank: number, round: number, length: number): Float64Array {
  return Float64Array.from(
    { length },
    (_, at) => Math.sin(1 + rank + 7 * round + at) * 10 ** (3 * (rank % 3)),
  );
}

function smallSumTests(test: Test): void {
  test("small vectors are summed in rank order, between the steps' vectors and beside them", async (open) => {
    for (const worldSize of [1, 3]) {
      await using bench = await open({ worldSize, vectorBytes: 4 * SHORT });
      let round = 0;
      for (const step of [0, 1]) {
        const own = uneven(worldSize, step, SHORT);
        const reduced = bench.reducer.reduce({ epoch: 1, step }, () => "continue");
        const first = round;
        await Promise.all(own.map(async (one, rank) => {
          const { exchange } = bench.ranks[rank];
          for (const [index, length] of [1, 0, 2, 128, 4096, 4097, 20_000, 1].entries()) {
            if (index === 3) exchange.offer?.(one, SHORT - 7);
            const values = smallValues(rank, first + index, length);
            if (rank === 1) await delay(2 * index); // others come first, and wait
            await exchange.allReduce(values);
            const expected = new Float64Array(length);
            for (let other = 0; other < worldSize; other++) {
              const brought = smallValues(other, first + index, length);
              expected.forEach((sum, at) => expected[at] = sum + brought[at]);
            }
            assert.deepEqual(values, expected, `vector ${index} of step ${step}`);
          }
          const { vector } = await takeStep(bench.ranks[rank], one);
          assertSame(floatsOf(vector), sumOf(own), `step ${step}`);
        }));
        round += 8;
        await reduced;
      }
      const bad = smallValues(0, 0, 3).fill(NaN);
      await Promise.all(bench.exchanges.map((exchange) => exchange.allReduce(bad.slice())));
    }
  });

  test("a signal and close() end the wait for a small sum", async (open) => {
    await using bench = await open({ worldSize: 3, vectorBytes: 4 * SHORT });
    const [first, second] = bench.exchanges;
    const controller = new AbortController();
    setTimeout(() => controller.abort(REASON), 50);
    await assert.rejects(first.allReduce(new Float64Array(3), controller.signal), REASON);
    await assert.rejects(first.allReduce(new Float64Array(3), controller.signal), REASON);
    setTimeout(() => void second.close(), 50);
    await assert.rejects(second.allReduce(new Float64Array(5)), {
      message: "The exchange was closed in the middle of a step",
    });
    await assert.rejects(second.allReduce(new Float64Array(5)), {
      message: "An exchange was used after close()",
    });
  });

  test("small vectors of different lengths are an error", async (open) => {
    await using bench = await open({ worldSize: 2, vectorBytes: 4 * SHORT });
    const reduced = bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue").catch(String);
    const ranks = bench.exchanges.map((exchange, rank) =>
      exchange.allReduce(new Float64Array(3 + rank)).catch(String)
    );
    const first = await Promise.race([...ranks, reduced]);
    assert.match(
      String(first),
      /^LockstepError: Rank [01] brings [34] values to a small sum, another rank [43]: their models or configs differ$/,
    );
    await Promise.all(bench.exchanges.map((exchange) => exchange.close()));
    await bench.reducer.close();
    await Promise.all([...ranks, reduced]);
  });

  test("a rank that waits too long for a small sum says for whom", async (open) => {
    await using bench = await open({ worldSize: 2, vectorBytes: 4 * SHORT, timeoutMs: 500 });
    await assert.rejects(
      bench.exchanges[1].allReduce(new Float64Array(3)),
      /^(Exchange|Lockstep)Error: Rank 1 (waited \d+ s for rank 0 in epoch 0, step 0|got no sum of BatchNorm's moments from the coordinator for \d+ s)$/,
    );
  });
}

type Open = (options: BenchOptions) => Promise<Bench>;
type Test = (what: string, run: (open: Open) => Promise<void>) => void;

/** Contributions of all ranks to a step, with uneven numbers of samples. */
function uneven(worldSize: number, step: number, floats: number) {
  return Array.from(
    { length: worldSize },
    (_, rank) => contribution(rank, step, 5 + 3 * rank, floats),
  );
}

/**
 * Σ (w / W) · vector over vectors with a weight above 0, in their order, each product and each sum rounded to float32;
 * 0 without such. Written out here: what the product adds with is not its own judge.
 */
function meanOf(vectors: readonly Float32Array[], weights: readonly number[]): Float32Array {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const sum = new Float32Array(vectors[0].length);
  vectors.forEach((vector, rank) => {
    if (weights[rank] === 0) return;
    const share = Math.fround(weights[rank] / total);
    for (let at = 0; at < sum.length; at++) sum[at] += Math.fround(share * vector[at]);
  });
  return sum;
}

/** Compares without printing millions of values; -0 counts as 0. */
function assertSame(actual: Float32Array, expected: Float32Array, what: string): void {
  assert.equal(actual.length, expected.length);
  for (let at = 0; at < actual.length; at++) { // a callback for each value takes ten times as long
    if (actual[at] !== expected[at]) {
      assert.fail(`${what}: ${actual[at]} instead of ${expected[at]} at ${at}`);
    }
  }
}

function sumOf(own: readonly TestContribution[]): Float32Array {
  return meanOf(own.map(({ vector }) => floatsOf(vector)), own.map(({ weight }) => weight));
}

function sumTests(test: Test): void {
  for (const worldSize of [1, 2, 3, 4]) {
    test(`${worldSize} ranks get the sum in rank order, step after step`, async (open) => {
      await using bench = await open({ worldSize });
      for (const step of [0, 1, 2]) {
        const own = uneven(worldSize, step, FLOATS).map((one, rank): TestContribution =>
          step === 1 ? { ...one, digest: Number.MAX_SAFE_INTEGER - rank } : one
        );
        const [totals, ...results] = await oneStep(bench, own);
        const expected = sumOf(own);
        for (const { vector } of results) assertSame(floatsOf(vector), expected, `step ${step}`);
        assertNearFloat64(expected, own);
        const sum = (pick: (own: TestContribution) => number) =>
          own.map(pick).reduce((a, b) => a + b, 0);
        const counts = {
          samples: sum(({ samples }) => samples),
          weight: sum(({ weight }) => weight),
          lossSum: sum(({ lossSum }) => lossSum),
          correct: sum(({ correct }) => correct),
          statisticsRows: sum(({ samples }) => samples),
        };
        const verdict = { action: "continue", finite: true } as const;
        for (const { vector: _, ...result } of results) {
          assert.deepEqual(result, { ...counts, ...verdict, squares: 0 });
        }
        const ranks = own.map(({ samples, times, digest }) => ({
          ...{ samples, times },
          ...(digest === undefined ? {} : { digest }),
        }));
        const more = { trackedBatches: 0, worstRank: undefined, ranks };
        assert.deepEqual(totals, { ...counts, ...verdict, ...more });
      }
    });
  }

  test("vectors of any length arrive whole", async (open) => {
    for (const floats of EDGES) {
      await using bench = await open({ worldSize: 3, vectorBytes: 4 * floats });
      for (const step of [0, 1]) {
        const own = uneven(3, step, floats);
        const [, ...results] = await oneStep(bench, own);
        const expected = sumOf(own);
        for (const { vector } of results) {
          assertSame(floatsOf(vector), expected, `${floats} floats`);
        }
      }
    }
  });

  test("epochs follow each other, also with steps left out", async (open) => {
    await using bench = await open({ worldSize: 2, vectorBytes: 4 * SHORT });
    for (const [epoch, step] of [[1, 0], [1, 1], [2, 0], [2, 3], [5, 0]]) {
      const own = uneven(2, 10 * epoch + step, SHORT).map((one) => ({ ...one, epoch, step }));
      const [, first, second] = await oneStep(bench, own);
      assertSame(floatsOf(first.vector), sumOf(own), `epoch ${epoch}, step ${step}`);
      assert.deepEqual(first.vector, second.vector);
    }
  });

  test("contributions that come before reduce() are used", async (open) => {
    await using bench = await open({ worldSize: 2, vectorBytes: 4 * SHORT });
    const own = uneven(2, 0, SHORT);
    const early = own.map((one, rank) => takeStep(bench.ranks[rank], one));
    await delay(50);
    await bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue");
    for (const { vector } of await Promise.all(early)) {
      assertSame(floatsOf(vector), sumOf(own), "early");
    }
  });

  test("parts of a vector that are offered early change no bit", async (open) => {
    await using bench = await open({ worldSize: 2, vectorBytes: 4 * SHORT });
    for (const step of [0, 1]) {
      const own = uneven(2, step, SHORT);
      const reduced = bench.reducer.reduce({ epoch: 1, step }, () => "continue");
      const sums = own.map(async (one, rank) => {
        const { vector, ...counts } = one;
        const { buffers, exchange } = bench.ranks[rank];
        const { host } = buffers.vector;
        host?.fill(rank + 1); // what isn't offered yet may still change
        for (const begin of host ? [SHORT - 7, CHUNK + 11, CHUNK - 3, 5] : []) {
          host?.set(vector.subarray(4 * begin), 4 * begin);
          exchange.offer?.(counts, begin);
          await delay(5);
        }
        return await takeStep(bench.ranks[rank], one);
      });
      const results = await Promise.all(sums);
      await reduced;
      for (const { vector } of results) assertSame(floatsOf(vector), sumOf(own), `step ${step}`);
    }
  });

  test("a sum goes into the region where it is wanted there, and vectors stay as they are", async (open) => {
    await using bench = await open({ worldSize: 3, vectorBytes: 4 * SHORT, sumInRegion: true });
    for (const step of [0, 1, 2]) {
      const own = uneven(3, step, SHORT);
      await Promise.all([
        bench.reducer.reduce({ epoch: 1, step }, () => "continue"),
        ...bench.ranks.map(async (rank, index) => {
          await reduceScatter(rank, own[index]);
          await rank.exchange.agree(0);
          const { vector, regions: [region] } = rank.buffers;
          assertSame(floatsOf(await bytesOf(region.current)), sumOf(own), "the region");
          assertSame(floatsOf(await bytesOf(vector)), floatsOf(own[index].vector), "the vector");
        }),
      ]);
    }
    for (const bad of [0, 1, 2]) {
      const own = uneven(3, 3 + bad, SHORT);
      for (const at of [0, SHORT - 1]) viewOf(own[bad].vector)[at] = NaN;
      const [{ finite, worstRank }] = await oneStep(bench, own);
      assert.deepEqual([finite, worstRank], [false, bad]);
    }
  });
}

/** The float32 sum is what float64 gives, up to a rounding of each product, sum and weight. */
function assertNearFloat64(sum: Float32Array, own: readonly TestContribution[]): void {
  const vectors = own.map(({ vector }) => floatsOf(vector));
  const total = own.reduce((all, { weight }) => all + weight, 0);
  for (let at = 0; at < sum.length; at += 997) {
    const exact = own.reduce(
      (all, { weight }, rank) => all + weight / total * vectors[rank][at],
      0,
    );
    assert.ok(Math.abs(sum[at] - exact) <= 3 * own.length * 2 ** -24, `value ${at}`);
  }
}

function countTests(test: Test): void {
  test("running statistics are a mean over rows, gradients one over weights", async (open) => {
    const border = FLOATS - STATISTICS;
    const wire = { dtype: "float32", gradientBytes: 4 * border } as const;
    await using bench = await open({ worldSize: 3, wire });
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
      const own = weights.map((weight, rank) => ({
        ...contribution(rank, step, Math.max(1, rows[rank])),
        weight,
        statisticsRows: rows[rank],
        trackedBatches: tracked[rank],
      }));
      // Statistics that don't count must not matter, whatever they are.
      own.forEach(({ vector }, rank) => {
        if (rows[rank] === 0) viewOf(vector).fill(NaN, border);
      });
      const [totals, ...results] = await oneStep(bench, own);
      const vectors = own.map(({ vector }) => floatsOf(vector));
      const expected = new Float32Array(FLOATS);
      expected.set(meanOf(vectors.map((vector) => vector.subarray(0, border)), weights));
      expected.set(meanOf(vectors.map((vector) => vector.subarray(border)), rows), border);
      const sum = (values: readonly number[]) => values.reduce((all, value) => all + value, 0);
      assert.equal(totals.statisticsRows, sum(rows));
      assert.equal(totals.trackedBatches, Math.max(...tracked));
      for (const { vector, finite, weight, statisticsRows } of results) {
        assert.deepEqual([finite, weight, statisticsRows], [true, sum(weights), sum(rows)]);
        assertSame(floatsOf(vector), expected, `step ${step}`);
      }
    }
  });

  test("a rank without samples is left out, and gets the result", async (open) => {
    await using bench = await open({ worldSize: 3, vectorBytes: 4 * SHORT });
    for (const busy of [0, 1, 2]) {
      const own = [0, 1, 2].map((rank) => contribution(rank, busy, rank === busy ? 7 : 0, SHORT));
      own.forEach(({ vector }, rank) => rank !== busy && viewOf(vector).fill(NaN));
      const [totals, ...results] = await oneStep(bench, own);
      assert.deepEqual([totals.finite, totals.samples], [true, 7]);
      for (const { vector } of results) assert.deepEqual(vector, own[busy].vector);
    }
    const nobody = [0, 1, 2].map((rank) => contribution(rank, 3, 0, SHORT));
    const [{ samples, weight }, ...results] = await oneStep(bench, nobody);
    assert.deepEqual([samples, weight], [0, 0]);
    for (const { vector } of results) {
      assertSame(floatsOf(vector), new Float32Array(SHORT), "zeros");
    }
  });

  test("each part of the sum is seen once, and the squares are added up in rank order", async (open) => {
    await using bench = await open({ worldSize: 3 });
    if (!bench.ranks[0].buffers.reduced.host) return; // a GPU adds them itself
    const own = uneven(3, 0, FLOATS);
    const squares = (values: Float32Array, { begin, end }: FloatRange) => {
      let sum = 0;
      for (let index = begin; index < end; index++) sum += values[index] ** 2;
      return sum;
    };
    const [, ...results] = await Promise.all([
      bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue"),
      ...bench.ranks.map((rank, index) =>
        takeStep(rank, own[index], (ranges) => {
          const values = viewOf(rank.buffers.reduced.host!);
          return ranges.reduce((sum, range) => sum + squares(values, range), 0);
        })
      ),
    ]);
    const sum = sumOf(own);
    const shards = [0, 1, 2].map((rank) => squares(sum, shardOf(rank, 3, 4 * FLOATS)));
    for (const result of results) {
      assert.equal(result.squares, shards.reduce((all, one) => all + one, 0), "the same bits");
    }
  });
}

function nonFiniteTests(test: Test): void {
  test("the rank whose vector or loss is not finite is named", async (open) => {
    await using bench = await open({ worldSize: 3, vectorBytes: 4 * SHORT });
    let step = 0;
    for (const bad of [0, 1, 2]) {
      for (const [at, value] of [[0, NaN], [SHORT - 1, Infinity], [CHUNK, -Infinity]]) {
        const own = uneven(3, step++, SHORT);
        viewOf(own[bad].vector)[at] = value;
        const [totals, ...results] = await oneStep(bench, own);
        assert.deepEqual([totals.finite, totals.worstRank], [false, bad], `${value} at ${at}`);
        assert.ok(results.every(({ finite }) => !finite));
      }
      const own = uneven(3, step++, SHORT).map((one, rank) =>
        rank === bad ? { ...one, lossSum: NaN } : one
      );
      const [totals, ...results] = await oneStep(bench, own);
      assert.deepEqual([totals.finite, totals.worstRank], [false, bad], "loss");
      assert.ok(results.every((result) => !result.finite && Number.isNaN(result.lossSum)));
    }
    const both = uneven(3, step++, SHORT);
    for (const rank of [1, 2]) viewOf(both[rank].vector)[3] = NaN;
    assert.equal((await oneStep(bench, both))[0].worstRank, 1, "the first one of several");
    const good = uneven(3, step, SHORT);
    const [totals, first] = await oneStep(bench, good);
    assert.deepEqual([totals.finite, totals.worstRank], [true, undefined]);
    assertSame(floatsOf(first.vector), sumOf(good), "the step after a bad one");
  });
}

function orderTests(test: Test): void {
  test("stop reaches every rank, and the step is still taken", async (open) => {
    await using bench = await open({ worldSize: 2, vectorBytes: 4 * SHORT });
    const own = uneven(2, 0, SHORT);
    const [totals, ...results] = await oneStep(bench, own, "stop");
    assert.equal(totals.action, "stop");
    for (const { action, vector } of results) {
      assert.equal(action, "stop");
      assertSame(floatsOf(vector), sumOf(own), "the last step");
    }
  });

  test("calls out of order are refused", async (open) => {
    await using bench = await open({ worldSize: 2, vectorBytes: 4 * SHORT });
    const [rank, other] = bench.ranks;
    const { exchange } = rank;
    const own = contribution(0, 0, 4, SHORT);
    await assert.rejects(exchange.agree(0), { name: "TypeError" });
    await assert.rejects(exchange.allGather(), { name: "TypeError" });
    const { vector, ...counts } = own;
    await write(rank.buffers.vector, vector);
    const first = exchange.reduceScatter(counts);
    await assert.rejects(exchange.reduceScatter(counts), {
      message: /^reduceScatter\(\) was called while/,
    });
    await assert.rejects(exchange.agree(0), { name: "TypeError" });
    const reduced = bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue");
    const others = takeStep(other, contribution(1, 0, 4, SHORT));
    await first;
    await assert.rejects(reduceScatter(rank, own), { name: "TypeError" });
    await exchange.agree(0);
    await reduced;
    await exchange.allGather();
    await others;
    await assert.rejects(exchange.allGather(), { name: "TypeError" });
    await oneStep(bench, uneven(2, 1, SHORT)); // nothing of it did any harm
  });
}

/** A call of a rank in the middle of a step that waits for others, and what comes before it. */
interface StepCall {
  readonly before: (bench: Bench, step: number) => Promise<unknown>;
  readonly call: (bench: Bench, step: number, signal?: AbortSignal) => Promise<unknown>;
}
const PHASES: Readonly<Record<string, StepCall>> = {
  contributing: {
    before: () => Promise.resolve(),
    call: ({ ranks: [first] }, step, signal) =>
      reduceScatter(first, contribution(0, step, 4, SHORT), signal),
  },
  agreeing: {
    before: summed,
    call: ({ exchanges: [first] }, _, signal) => first.agree(0, signal),
  },
  gathering: {
    before: async (bench, step) => {
      await summed(bench, step);
      await Promise.all(bench.exchanges.map((exchange) => exchange.agree(0)));
    },
    call: ({ exchanges: [first] }, _, signal) => first.allGather(signal),
  },
};

/** Brings all ranks to where the sum is at hand. */
async function summed(bench: Bench, step: number): Promise<void> {
  const own = uneven(bench.ranks.length, step, SHORT);
  bench.reducer.reduce({ epoch: 1, step }, () => "continue").catch(() => {}); // others may end it
  await Promise.all(own.map((one, rank) => reduceScatter(bench.ranks[rank], one)));
}

/** An exchange that needs nobody in a phase has passed it before anything could end it. */
async function endsWith(waiting: Promise<unknown>, end: () => void, expected: object) {
  const outcome = waiting.then(() => "passed", (error) => error);
  await delay(50);
  end();
  const ended = await outcome;
  if (ended === "passed") return false;
  await assert.rejects(Promise.reject(ended), expected);
  return true;
}

function endTests(test: Test, name: TestedExchange): void {
  for (const [phase, { before, call }] of Object.entries(PHASES)) {
    test(`a signal ends a rank that is ${phase}, with its reason`, async (open) => {
      await using bench = await open({ worldSize: 2, vectorBytes: 4 * SHORT });
      const controller = new AbortController();
      await before(bench, 0);
      const waiting = call(bench, 0, controller.signal);
      const waited = await endsWith(waiting, () => controller.abort(REASON), REASON);
      assert.ok(waited || phase !== "contributing", "the other rank's vector is waited for");
    });

    test(`close() ends a rank that is ${phase}`, async (open) => {
      await using bench = await open({ worldSize: 2, vectorBytes: 4 * SHORT });
      const closed = { message: "The exchange was closed in the middle of a step" };
      const end = () => void bench.exchanges[0].close();
      await before(bench, 0);
      const waited = await endsWith(call(bench, 0), end, closed);
      assert.ok(waited || phase !== "contributing", "the other rank's vector is waited for");
      await assert.rejects(reduceScatter(bench.ranks[0], contribution(0, 1, 4, SHORT)));
    });
  }

  test("a signal that has fired ends each call at once", async (open) => {
    await using bench = await open({ worldSize: 1, vectorBytes: 4 * SHORT });
    const signal = AbortSignal.abort(REASON);
    const exchange: GradientExchange = bench.exchanges[0];
    const own = contribution(0, 0, 4, SHORT);
    await assert.rejects(reduceScatter(bench.ranks[0], own, signal), REASON);
    await assert.rejects(exchange.agree(0, signal), REASON);
    await assert.rejects(exchange.allGather(signal), REASON);
    const key = { epoch: 1, step: 0 };
    await assert.rejects(bench.reducer.reduce(key, () => "continue", { signal }), REASON);
    await oneStep(bench, [own]);
  });

  test("totals that no message can carry fail at once, and the next step works", async (open) => {
    await using bench = await open({ worldSize: 1, vectorBytes: 4 * SHORT });
    for (const wrong of [{ correct: NaN }, { correct: -3 }, { correct: 1.5 }, { weight: -1 }]) {
      const own = { ...contribution(0, 0, 4, SHORT), ...wrong };
      const began = performance.now();
      await assert.rejects(
        reduceScatter(bench.ranks[0], own),
        /^LockstepError: Rank 0's totals of step 0 in epoch 1 can't be right \((correct|weight): /,
      );
      assert.ok(performance.now() - began < 5_000);
    }
    await oneStep(bench, [contribution(0, 0, 4, SHORT)]);
  });

  test("a signal and close() end the coordinator's end", async (open) => {
    await using bench = await open({ worldSize: 2, vectorBytes: 4 * SHORT });
    const key = { epoch: 1, step: 0 };
    const controller = new AbortController();
    setTimeout(() => controller.abort(REASON), 50);
    await assert.rejects(
      bench.reducer.reduce(key, () => "continue", { signal: controller.signal }),
      REASON,
    );
    setTimeout(() => void bench.reducer.close(), 50);
    await assert.rejects(bench.reducer.reduce({ ...key, step: 1 }, () => "continue"), {
      message: "The reducer was closed in the middle of a step",
    });
  });

  test("both ends give up when the others keep silent, and name them", async (open) => {
    await using bench = await open({ worldSize: 2, vectorBytes: 4 * SHORT, timeoutMs: 3_000 });
    await Promise.all([
      assert.rejects(bench.reducer.reduce({ epoch: 1, step: 0 }, () => "continue"), {
        name: "ExchangeError",
        message: /^No gradients from rank 1 for \d+ s in epoch 1, step 0$/,
      }),
      assert.rejects(reduceScatter(bench.ranks[0], contribution(0, 0, 4, SHORT)), {
        name: "ExchangeError",
        message: name === "shared-memory" || name === "nccl"
          ? /^Rank 0 waited 3 s for rank 1 in epoch 1, step 0$/
          : /^Rank 0 got no answer from the coordinator for \d+ s in epoch 1, step 0$/,
      }),
    ]);
  });
}

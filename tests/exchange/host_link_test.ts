import assert from "node:assert/strict";
import { delay } from "../../src/base/async.ts";
import { floatsOf as viewOf } from "../../src/base/float_range.ts";
import type { StepResult } from "../../src/exchange/gradient_exchange.ts";
import {
  type Bench,
  contribution,
  openBench,
  reduceScatter,
  takeStep,
  type TestContribution,
} from "../support/exchange_bench.ts";
import { LocalBus } from "../support/local_link.ts";
import { LocalHosts } from "../support/local_hosts.ts";

/** Several parts that go from host to host, the last one short; the running statistics begin within one. */
const FLOATS = 5 * 2 ** 18 + 101;
const STATISTICS = 2 ** 18 - 333;
const SHAPE = {
  vectorBytes: 4 * FLOATS,
  wire: { dtype: "float32", gradientBytes: 4 * (FLOATS - STATISTICS) },
  maxWholeBytes: 0,
} as const;

function open(worldSize: number, hosts: Parameters<typeof openBench>[2]["hosts"] = undefined) {
  const bus = new LocalBus();
  const links = { open: () => Promise.resolve(bus.link()) };
  return openBench(links, "shared-memory", { ...SHAPE, worldSize, ...(hosts ? { hosts } : {}) });
}

/** Has the ranks of all benches take a step together, host by host; returns the ranks' results. */
async function stepOf(
  benches: readonly Bench[],
  own: readonly TestContribution[],
): Promise<(StepResult & { vector: Uint8Array })[]> {
  const [{ epoch, step }] = own;
  const ranks = benches.flatMap((bench) => bench.ranks);
  const totals = benches.map(({ reducer }) => reducer.reduce({ epoch, step }, () => "continue"));
  const results = await Promise.all(
    ranks.map((rank, index) => takeStep(rank, own[index], () => index + 1)),
  );
  await Promise.all(totals);
  return results;
}

/** Contributions of four ranks to some steps. */
function steps(): TestContribution[][] {
  const uneven = [3, 5, 8, 2].map((samples, rank) => contribution(rank, 0, samples, FLOATS));
  // Ranks without samples at the start, in the middle, and all of a host.
  const lone = [0, 4, 0, 6].map((samples, rank) => contribution(rank, 1, samples, FLOATS));
  const late = [0, 0, 0, 6].map((samples, rank) => contribution(rank, 2, samples, FLOATS));
  const none = [0, 0, 0, 0].map((samples, rank) => contribution(rank, 3, samples, FLOATS));
  // Statistics that don't count, of a rank whose gradients do, and the other way round.
  const mixed = [1, 2, 3, 4].map((samples, rank) => ({
    ...contribution(rank, 4, samples, FLOATS),
    weight: rank === 2 ? 0 : samples,
    statisticsRows: rank < 2 ? 0 : samples,
  }));
  const zeros = [0, 2, 0, 2].map((samples, rank) => {
    const own = contribution(rank, 5, samples, FLOATS);
    viewOf(own.vector).fill(-0);
    return own;
  });
  return [uneven, lone, late, none, mixed, zeros];
}

for (const counts of [[2, 2], [1, 3], [2, 1, 1]]) {
  Deno.test(`hosts of ${counts.join(", ")} ranks give the bits of one host, and work at the same time`, async () => {
    const hosts = new LocalHosts(counts);
    await using one = await open(4);
    await using stack = new AsyncDisposableStack();
    const benches: Bench[] = [];
    for (const [host, count] of counts.entries()) {
      benches.push(stack.use(await open(count, hosts.linksOf(host))));
    }
    for (const own of steps()) {
      hosts.events.length = 0;
      const expected = await stepOf([one], own);
      const results = await stepOf(benches, own);
      const small = (benches: readonly Bench[]) =>
        Promise.all(
          benches.flatMap(({ exchanges }) => exchanges).map(async (exchange, rank) => {
            const values = Float64Array.of(0.1 * rank, 1 / (rank + 3), 1e300 * rank);
            await exchange.allReduce(values);
            return values;
          }),
        );
      const [sum] = await small([one]);
      for (const values of await small(benches)) assert.deepEqual(values, sum);
      for (const [rank, { vector, squares, ...result }] of results.entries()) {
        const { vector: bits, squares: _, ...counted } = expected[rank];
        assert.deepEqual(result, counted, `the result of rank ${rank} in step ${own[0].step}`);
        assert.equal(Buffer.compare(vector, bits), 0, `rank ${rank}, step ${own[0].step}`);
        assert.equal(squares, results[0].squares, "the same squares on all ranks");
      }
    }
    // While the first host still adds, the next one has begun.
    const last = hosts.events.findLastIndex(([host, what]) => host === 0 && what === "added");
    const first = hosts.events.findIndex(([host]) => host === 1);
    assert.ok(first >= 0 && first < last, `${first} of ${last}`);
  });
}

Deno.test("a value that is not finite ends the step on all hosts, and its rank is named on its own", async () => {
  const hosts = new LocalHosts([2, 2]);
  await using first = await open(2, hosts.linksOf(0));
  await using second = await open(2, hosts.linksOf(1));
  let step = 0;
  const take = async (bad: number | undefined, at: number) => {
    const own = [0, 1, 2, 3].map((rank) => {
      const one = contribution(rank, step, 1, FLOATS);
      if (rank === bad) viewOf(one.vector)[at] = NaN;
      return one;
    });
    const key = { epoch: 1, step: step++ };
    const [results, ...totals] = await Promise.all([
      Promise.all([...first.ranks, ...second.ranks].map((rank, at) => takeStep(rank, own[at]))),
      ...[first, second].map(({ reducer }) => reducer.reduce(key, () => "continue")),
    ]);
    return { finite: results.map(({ finite }) => finite), totals };
  };
  for (const bad of [0, 1, 2, 3]) {
    for (const at of [0, FLOATS - 1]) {
      const { finite, totals } = await take(bad, at);
      assert.deepEqual(finite, [false, false, false, false], `rank ${bad} at ${at}`);
      const own = bad < 2 ? 0 : 1;
      assert.equal(totals[own].worstRank, bad);
      assert.equal(totals[1 - own].worstRank, undefined);
      assert.ok(totals.every((total) => !total.finite));
    }
  }
  assert.deepEqual((await take(undefined, 0)).finite, [true, true, true, true]);
});

Deno.test("a step is committed when the ranks of all hosts have written, also where hosts have one rank each", async () => {
  const hosts = new LocalHosts([1, 1]);
  await using first = await open(1, hosts.linksOf(0));
  await using second = await open(1, hosts.linksOf(1));
  const benches = [first, second];
  const ranks = benches.flatMap((bench) => bench.ranks);
  const key = { epoch: 1, step: 0 };
  await Promise.all([
    ...benches.map(({ reducer }) => reducer.reduce(key, () => "continue")),
    ...ranks.map(async (rank, index) => {
      await reduceScatter(rank, contribution(index, 0, 1, FLOATS));
      await rank.exchange.agree(0);
    }),
  ]);
  let isOver = false;
  const gathered = ranks[0].exchange.allGather().then(() => isOver = true);
  await delay(30);
  assert.equal(isOver, false);
  await Promise.all([gathered, ranks[1].exchange.allGather()]);
});

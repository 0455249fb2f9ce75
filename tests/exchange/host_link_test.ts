import assert from "node:assert/strict";
import { delay } from "../../src/base/async.ts";
import { floatsOf as viewOf } from "../../src/base/float_range.ts";
import { type Bench, contribution, takeStep } from "../support/exchange_bench.ts";
import { compareHosts, FLOATS, openHost, stepOf, steps } from "../support/host_steps.ts";
import { LocalHosts } from "../support/local_hosts.ts";

for (const counts of [[2, 2], [1, 3], [2, 1, 1]]) {
  Deno.test(`hosts of ${counts.join(", ")} ranks give the bits of one host, and work at the same time`, async () => {
    const hosts = new LocalHosts(counts);
    await using one = await openHost(4);
    await using stack = new AsyncDisposableStack();
    const benches: Bench[] = [];
    for (const [host, count] of counts.entries()) {
      benches.push(stack.use(await openHost(count, hosts.linksOf(host))));
    }
    await compareHosts(benches, one);
    // While the first host still adds, the next one has begun.
    const last = hosts.events.findLastIndex(([host, what]) => host === 0 && what === "added");
    const first = hosts.events.findIndex(([host]) => host === 1);
    assert.ok(first >= 0 && first < last, `${first} of ${last}`);
  });
}

for (const counts of [[2, 2], [1, 3]]) {
  Deno.test(`hosts of ${counts.join(", ")} ranks sum parts of vectors before these are whole, with the same bits`, async () => {
    const hosts = new LocalHosts(counts);
    await using one = await openHost(4);
    await using stack = new AsyncDisposableStack();
    const benches: Bench[] = [];
    for (const [host, count] of counts.entries()) {
      benches.push(stack.use(await openHost(count, hosts.linksOf(host))));
    }
    const ends: number[] = [];
    for (const own of steps()) {
      // Two ranks offer in parts, of different lengths; the others come with all at once.
      const split = own.map((one, rank) => ({ ...one, parts: [7, 1, 4, 1][rank]! }));
      const expected = await stepOf([one], own);
      hosts.events.length = 0;
      const results = await stepOf(benches, split);
      for (const [rank, { vector, squares: _, ...result }] of results.entries()) {
        const { vector: bits, squares: __, ...counted } = expected[rank]!;
        assert.deepEqual(result, counted);
        assert.ok(result.samples === 0 || Buffer.compare(vector, bits) === 0, `rank ${rank}`);
      }
      ends.push(hosts.events[0]![2]);
    }
    assert.ok(ends.every((begin) => begin > 0), "the last parts come first");
  });
}

Deno.test("an exchange that is closed ends a sum that has begun early", async () => {
  const hosts = new LocalHosts([1, 1]);
  const first = await openHost(1, hosts.linksOf(0));
  const second = await openHost(1, hosts.linksOf(1));
  const [rank] = first.ranks;
  const { vector: _, ...own } = contribution(0, 0, 1, FLOATS);
  rank!.exchange.offer!(own, FLOATS >> 1);
  const controller = new AbortController();
  const waiting = assert.rejects(
    rank!.exchange.reduceScatter(own, controller.signal),
    /superseded/,
  );
  await delay(20);
  controller.abort(new Error("superseded"));
  await waiting;
  await first[Symbol.asyncDispose]();
  await second[Symbol.asyncDispose]();
});

Deno.test("a value that is not finite ends the step on all hosts, and its rank is named on its own", async () => {
  const hosts = new LocalHosts([2, 2]);
  await using first = await openHost(2, hosts.linksOf(0));
  await using second = await openHost(2, hosts.linksOf(1));
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

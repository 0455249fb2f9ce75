import assert from "node:assert/strict";
import { eventually } from "../support/eventually.ts";
import { wonAtLeastOnce } from "../support/at_once.ts";
import { delay } from "../../src/base/async.ts";
import { hostOf } from "../../src/engine/device_memory.ts";
import { Meeting } from "../../src/exchange/meeting.ts";
import {
  type Bench,
  contribution,
  floatsOf,
  openBench,
  reduceScatter,
  takeStep,
} from "../support/exchange_bench.ts";
import { LocalBus } from "../support/local_link.ts";

const FLOATS = 100;
const KEY = { epoch: 1, step: 0 };

/** Opens ranks that add up shards of the vectors, or all of them. */
function open(how: "shards" | "whole", worldSize = 2): Promise<Bench> {
  const bus = new LocalBus();
  const links = { open: () => Promise.resolve(bus.link()) };
  const maxWholeBytes = how === "whole" ? 2 ** 20 : 0;
  return openBench(links, "shared-memory", { worldSize, vectorBytes: 4 * FLOATS, maxWholeBytes });
}

const own = (rank: number, step: number) => contribution(rank, step, 1, FLOATS);

/** Tells whether a promise is pending after the time in which those who can get on do. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol();
  return await Promise.race([promise, delay(30).then(() => pending)]) === pending;
}

for (const how of ["shards", "whole"] as const) {
  Deno.test(`a rank waits until all have contributed (${how})`, async () => {
    await using bench = await open(how, 3);
    const [first, second, third] = bench.ranks;
    const sums = [reduceScatter(first, own(0, 0)), reduceScatter(second, own(1, 0))];
    assert.deepEqual(await Promise.all(sums.map(isPending)), [true, true]);
    await Promise.all([...sums, reduceScatter(third, own(2, 0))]);
  });

  Deno.test(`a rank waits until its step is granted (${how})`, async () => {
    await using bench = await open(how);
    await Promise.all(bench.ranks.map((rank, index) => reduceScatter(rank, own(index, 0))));
    const results = bench.exchanges.map((exchange) => exchange.agree(0));
    assert.deepEqual(await Promise.all(results.map(isPending)), [true, true]);
    await bench.reducer.reduce(KEY, () => "stop");
    const actions = (await Promise.all(results)).map(({ action }) => action);
    assert.deepEqual(actions, ["stop", "stop"]);
  });

  Deno.test(`the coordinator waits until the ranks have contributed, then until they have summed (${how})`, async () => {
    for (const ahead of [0, 1]) {
      await using bench = await open(how);
      const decided: string[] = [];
      const reducing = bench.reducer.reduce(KEY, () => {
        decided.push("decided");
        return "continue";
      }, { ahead });
      assert.ok(await isPending(reducing));
      assert.deepEqual(decided, [], "nobody has contributed");
      const first = reduceScatter(bench.ranks[0], own(0, 0));
      assert.ok(await isPending(first));
      // With steps ahead, the first one is enough, so that nobody waits for the decision.
      await eventually(() =>
        assert.equal(decided.length, ahead, `one has contributed, ${ahead} ahead`)
      );
      await Promise.all([first, reduceScatter(bench.ranks[1], own(1, 0))]);
      assert.ok(await isPending(reducing), "all have contributed, none has summed");
      await eventually(() => assert.equal(decided.length, 1));
      const agreed = bench.exchanges[0].agree(0);
      assert.ok(await isPending(reducing), "one has summed");
      await Promise.all([agreed, bench.exchanges[1].agree(0), reducing]);
    }
  });
}

Deno.test("with shards, a rank waits until all have summed, and until all have written", async () => {
  await using bench = await open("shards");
  const [first, second] = bench.exchanges;
  const reducing = bench.reducer.reduce(KEY, () => "continue", { ahead: 1 });
  await Promise.all(bench.ranks.map((rank, index) => reduceScatter(rank, own(index, 0))));
  const agreed = first.agree(1);
  assert.ok(await isPending(agreed));
  const [{ squares }] = await Promise.all([agreed, second.agree(2), reducing]);
  assert.equal(squares, 3);
  const gathered = first.allGather();
  assert.ok(await isPending(gathered));
  await Promise.all([gathered, second.allGather()]);
});

Deno.test("a rank waits for the small values of all", async () => {
  await using bench = await open("shards", 3);
  const values = [1, 2, 3].map((value) => Float64Array.of(value));
  const sums = bench.exchanges.slice(0, 2).map((exchange, rank) =>
    exchange.allReduce(values[rank])
  );
  assert.deepEqual(await Promise.all(sums.map(isPending)), [true, true]);
  await Promise.all([...sums, bench.exchanges[2].allReduce(values[2])]);
  assert.deepEqual(values, [6, 6, 6].map((sum) => Float64Array.of(sum)));
});

Deno.test("with whole sums, a rank needs nobody to end its step, and a slower one doesn't see its next vector", async () => {
  await using bench = await open("whole");
  const [first, second] = bench.ranks;
  const meanOf = (step: number) => {
    const [a, b] = [0, 1].map((rank) => floatsOf(own(rank, step).vector));
    return a.map((value, at) => value / 2 + b[at] / 2);
  };
  const reducing = bench.reducer.reduce(KEY, () => "continue", { ahead: 1 });
  const slow = takeStep(second, own(1, 0));
  assert.ok(
    await isPending(slow),
    "it sleeps on another thread, and wakes after the other rank has gone on",
  );
  const { vector } = await takeStep(first, own(0, 0));
  const next = reduceScatter(first, own(0, 1));
  assert.deepEqual(floatsOf(vector), meanOf(0));
  assert.deepEqual(floatsOf((await slow).vector), meanOf(0));
  await Promise.all([reducing, next, reduceScatter(second, own(1, 1))]);
  for (const { buffers } of bench.ranks) {
    assert.deepEqual(floatsOf(hostOf(buffers.reduced)), meanOf(1));
  }
});

/** Tells whether what `change` does wakes a wait that sleeps, which ends by itself a little later. */
async function isWoken(
  prepare: () => Promise<{ wait: Promise<unknown>; change: () => unknown } & AsyncDisposable>,
): Promise<boolean> {
  await using prepared = await prepare();
  const { wait, change } = prepared;
  const ended = wait.catch(() => {});
  await delay(40);
  const begin = performance.now();
  Promise.resolve(change()).catch(() => {}); // what it begins may not end before the bench is closed
  await ended;
  return performance.now() - begin <= MAX_WAKE_MS;
}

/** Milliseconds within which a sleeper is woken; by itself it looks after 250 ms. */
const MAX_WAKE_MS = 120;

Deno.test("those who sleep are woken by an arrival, a grant, a contribution, a signal, and close()", async () => {
  const sleeping = async (
    wait: (bench: Bench) => Promise<readonly [Promise<unknown>, () => unknown]>,
  ) => {
    const bench = await open("shards");
    const [promise, change] = await wait(bench);
    return { wait: promise, change, [Symbol.asyncDispose]: () => bench[Symbol.asyncDispose]() };
  };
  const cases: Record<string, Parameters<typeof sleeping>[0]> = {
    arrival: ({ ranks }) =>
      Promise.resolve([
        reduceScatter(ranks[0], own(0, 0)),
        () => reduceScatter(ranks[1], own(1, 0)),
      ]),
    grant: async ({ ranks, exchanges, reducer }) => {
      await Promise.all(ranks.map((rank, index) => reduceScatter(rank, own(index, 0))));
      const agreed = Promise.all(exchanges.map((exchange) => exchange.agree(0)));
      return [agreed, () => reducer.reduce(KEY, () => "continue")];
    },
    signal: ({ ranks }) => {
      const controller = new AbortController();
      const wait = reduceScatter(ranks[0], own(0, 0), controller.signal);
      return Promise.resolve([wait, () => controller.abort(new Error("told to end"))]);
    },
    close: ({ ranks, exchanges }) =>
      Promise.resolve([reduceScatter(ranks[0], own(0, 0)), () => exchanges[0].close()]),
    contribution: ({ ranks, reducer }) => {
      let decided = () => {};
      const wait = new Promise<void>((resolve) => decided = resolve);
      reducer.reduce(KEY, () => {
        decided();
        return "continue";
      }, { ahead: 1 }).catch(() => {});
      return Promise.resolve([wait, () => reduceScatter(ranks[0], own(0, 0))]);
    },
  };
  for (const wait of Object.values(cases)) {
    await wonAtLeastOnce(() => isWoken(() => sleeping(wait)), 20);
  }
});

Deno.test("a step that isn't finite wakes the coordinator, which sleeps until later ones are summed", async () => {
  for (const bad of [undefined, 1]) {
    const round = async () => {
      const bench = await open("shards");
      const meeting = new Meeting(bench.ranks[0].buffers.meeting!, 2);
      for (let step = 0; step < 10; step++) meeting.grant("continue");
      const options = { timeoutMs: 10_000, silence: () => new Error("silence") };
      return {
        wait: Promise.resolve(meeting.untilSummed(0, 10, options)),
        change: () =>
          Promise.all(bench.ranks.map((rank, index) => {
            const one = own(index, 0);
            if (index === bad) new Float32Array(one.vector.buffer)[0] = NaN;
            return takeStep(rank, one);
          })),
        [Symbol.asyncDispose]: () => bench[Symbol.asyncDispose](),
      };
    };
    await wonAtLeastOnce(async () => await isWoken(round) === (bad !== undefined), 20);
  }
});

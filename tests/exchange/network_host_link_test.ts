import assert from "node:assert/strict";
import { delay } from "../../src/base/async.ts";
import { floatsOf as viewOf } from "../../src/base/float_range.ts";
import type { HostRecord } from "../../src/exchange/host_link.ts";
import type { NetworkHostLink } from "../../src/exchange/hosts/network_host_link.ts";
import { narrowingBound } from "../../src/exchange/narrow.ts";
import type { NatsAddress } from "../../src/protocol/address.ts";
import {
  type ChaoticNetwork,
  type Fate,
  type Passing,
  startChaoticNetwork,
} from "../support/chaotic_network.ts";
import { type Bench, contribution } from "../support/exchange_bench.ts";
import { compareHosts, FLOATS, openHost, STATISTICS, stepOf } from "../support/host_steps.ts";
import { type NetworkHostsOptions, startNetworkHosts } from "../support/network_hosts.ts";

const SHAPE = { floats: FLOATS, gradientFloats: FLOATS - STATISTICS } as const;

/** Connects hosts, and opens their ranks. */
async function openHosts(counts: readonly number[], options: NetworkHostsOptions = {}) {
  await using stack = new AsyncDisposableStack();
  const hosts = stack.use(await startNetworkHosts(counts, { ...SHAPE, ...options }));
  const benches: Bench[] = [];
  for (const [host, count] of counts.entries()) {
    if (count > 0) benches.push(stack.use(await openHost(count, hosts.links[host])));
  }
  const all = stack.move();
  return { hosts, benches, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

for (const counts of [[2, 2], [1, 3], [0, 2, 1, 1]]) {
  Deno.test(`hosts of ${counts.join(", ")} ranks over their servers give the bits of one host`, async () => {
    await using one = await openHost(4);
    await using rig = await openHosts(counts, { tls: counts.length === 2 });
    await compareHosts(rig.benches, one);
  });
}

/** Options with proxies before all servers, by which the other hosts reach them. */
function withNetworks(fateOf: (message: Passing) => Fate) {
  const networks: ChaoticNetwork[] = [];
  const addressOf = (server: NatsAddress) => {
    const network = startChaoticNetwork(server.url, fateOf);
    networks.push(network);
    return { ...server, url: network.url };
  };
  return {
    networks,
    addressOf,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(networks.map((network) => network[Symbol.asyncDispose]()));
    },
  };
}

Deno.test("messages that are lost, damaged, repeated, late and overtaken change no bit", async () => {
  const fates = { 7: "drop", 12: "damage", 17: "repeat", 22: "late", 27: "overtaken" } as const;
  let [parts, shares] = [0, 0];
  await using chaos = withNetworks(({ subject }) => {
    if (/(sums|totals)$/.test(subject)) {
      return fates[(parts++ % 29) as keyof typeof fates] ?? "pass";
    }
    // Of the rounds: the first share, and the first answer with the shares of all.
    if (/notes$|shares$/.test(subject)) return shares++ === 5 ? "drop" : "pass";
    return "pass";
  });
  await using one = await openHost(4);
  await using rig = await openHosts([2, 2], { addressOf: chaos.addressOf });
  await compareHosts(rig.benches, one);
  for (const fate of ["drop", "damage", "repeat", "late", "overtaken"] as const) {
    assert.ok(chaos.networks.some(({ fates }) => fates[fate] > 0), fate);
  }
});

Deno.test("a server that is killed and started again, and a network that parts for a while, change no bit", async () => {
  await using chaos = withNetworks(() => "pass");
  await using one = await openHost(4);
  await using rig = await openHosts([2, 1, 1], { addressOf: chaos.addressOf });
  const troubles = (async () => {
    await delay(150);
    await rig.hosts.restart(1);
    await delay(50);
    using _parted = chaos.networks[2]!.part();
    await delay(300);
  })();
  await compareHosts(rig.benches, one);
  await troubles;
});

Deno.test("gradients travel in 16 bits where that is asked for: all hosts get the same rounded sum", async () => {
  await using one = await openHost(3);
  await using rig = await openHosts([1, 1, 1], { dtype: "bfloat16" });
  const own = [3, 5, 8].map((samples, rank) => contribution(rank, 0, samples, FLOATS));
  const [[exact]] = [await stepOf([one], own)];
  const results = await stepOf(rig.benches, own);
  const expected = viewOf(exact!.vector);
  const sum = viewOf(results[0]!.vector);
  const border = FLOATS - STATISTICS;
  for (const { vector } of results) assert.deepEqual(vector, results[0]!.vector);
  // Two partial sums and the total are rounded, of values up to 0.5.
  const bound = 1.5 * narrowingBound("bfloat16", 0.5);
  assert.ok(sum.every((value, at) => Math.abs(value - expected[at]!) <= (at < border ? bound : 0)));
  const narrow = new Uint16Array(results[0]!.vector.slice(0, 4 * border).buffer);
  assert.ok(narrow.every((half, at) => at % 2 === 1 || half === 0), "values of 16 bits");
});

/** One rank's record of a step. */
const RECORD: HostRecord = {
  ...{ epoch: 2, step: 7, samples: 1, weight: 1, lossSum: 1, correct: 0, statisticsRows: 1 },
  ...{ trackedBatches: 0, times: undefined, digest: undefined },
  ...{ finite: true, worstRank: undefined, squares: 0 },
};

Deno.test("a host that keeps silent is named, by those next to it and by the one that waits for all", async () => {
  const limits = { silenceMs: 5_000, timeoutMs: 6_000 };
  await using hosts = await startNetworkHosts([1, 1, 1], { ...SHAPE, ...limits });
  const [[first], [second], [third]] = hosts.links as [
    [NetworkHostLink],
    [NetworkHostLink],
    [NetworkHostLink],
  ];
  const range = { begin: 0, end: 1000 };
  const place = "in epoch 2, step 7$";
  await Promise.all([first, second, third].map((link) => link.contributions(RECORD, [RECORD])));
  await third.close();
  await first.after(range, new Float32Array(1000));
  await second.before(range);
  await Promise.all([
    assert.rejects(second.total(range, new Float32Array(1000)), {
      name: "ExchangeError",
      message: new RegExp(`^Host 2 \\(name-2\\) has not answered for \\d+ s ${place}`),
    }),
    // Its neighbour lives, and answers.
    assert.rejects(first.total(range, new Float32Array(1000)), {
      name: "ExchangeError",
      message: new RegExp(
        `^Host 1 \\(name-1\\) answers, but did not send the sum of all hosts for \\d+ s ${place}`,
      ),
    }),
  ]);
  const silent = [
    assert.rejects(first.results(RECORD, [RECORD]), {
      name: "ExchangeError",
      message: new RegExp(
        `^Host 2 \\(name-2\\) has not come to the same point for \\d+ s ${place}`,
      ),
    }),
    assert.rejects(second.results(RECORD, [RECORD]), {
      name: "ExchangeError",
      message: new RegExp(
        `^Host 0 \\(name-0\\) has not brought all hosts together for \\d+ s ${place}`,
      ),
    }),
  ];
  await Promise.all(silent);
});

Deno.test("all waits end when the signal fires, when the link is closed, and when a server is gone for good", async () => {
  const controller = new AbortController();
  const options = { ...SHAPE, reconnectMs: 500, signal: controller.signal };
  const range = { begin: 0, end: 1000 };
  const waitsOf = (link: NetworkHostLink, signal?: AbortSignal) => [
    link.firstRank > 0
      ? link.before(range, signal)
      : link.total(range, new Float32Array(1000), signal),
    link.contributions(RECORD, [RECORD], signal),
    link.values([Float64Array.of(1)], signal),
    link.texts([""], { signal }),
  ];
  await using hosts = await startNetworkHosts([1, 1], options);
  const [[first]] = hosts.links as [[NetworkHostLink]];
  const allReject = (waits: Promise<unknown>[], expected: object) =>
    Promise.all(waits.map((wait) => assert.rejects(wait, expected)));
  await allReject(waitsOf(first, AbortSignal.timeout(50)), { name: "TimeoutError" });
  const lost = allReject(waitsOf(first), {
    name: "ExchangeError",
    message: /^Host 1 \(name-1\): The nats-server at .* has been gone for/,
  });
  await hosts.brokers[1]!.stop();
  await lost;
  await using others = await startNetworkHosts([1, 1], options);
  const [[second], [third]] = others.links as [[NetworkHostLink], [NetworkHostLink]];
  const closed = allReject(waitsOf(third), /^ExchangeError: The exchange was closed/);
  await third.close();
  await closed;
  // Of the rounds the other host has brought its share before it left.
  const total = second.total(range, new Float32Array(1000));
  const aborted = allReject([total], { message: "superseded" });
  controller.abort(new Error("superseded"));
  await aborted;
  await assert.rejects(startNetworkHosts([1, 1], options), { message: "superseded" });
});

Deno.test("a server that can't be reached is named with its host", async () => {
  const addressOf = (server: NatsAddress, host: number) =>
    host === 1 ? { ...server, url: "nats://127.0.0.1:1" } : server;
  await assert.rejects(startNetworkHosts([1, 1], { ...SHAPE, addressOf, reconnectMs: 10 }), {
    name: "ExchangeError",
    message: /^Host 1 \(name-1\): .*127\.0\.0\.1:1/,
  });
});

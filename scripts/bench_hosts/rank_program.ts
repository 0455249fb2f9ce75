/**
 * A rank of `bench_hosts.ts`, as a program: opens the exchange of a worker, with the link to the other hosts, and times
 * all-reduces. Its argument is JSON; it prints JSON.
 *
 * @module
 */
import { itemAt } from "../../src/base/item_at.ts";
import { mapSharedSegment, type SegmentPlace } from "../../src/base/shared_memory.ts";
import { timeAllReduce } from "../../src/bench/time_all_reduce.ts";
import { openHostLink } from "../../src/exchange/hosts/network_host_link.ts";
import type { HostLinkOptions } from "../../src/exchange/hosts/host_link_options.ts";
import { makeBuffers, openExchange } from "../../src/exchange/shared_exchange.ts";
import { Link } from "../../src/protocol/link.ts";
import type { BenchHost } from "./host_program.ts";

/** The settings of a rank. */
export interface RankSettings
  extends Pick<BenchHost, "run" | "ranks" | "host" | "dtype" | "warmup" | "steps"> {
  readonly servers: HostLinkOptions["servers"];
  /** Among the ranks of its host. */
  readonly rank: number;
  readonly bytes: number;
  readonly round: number;
  readonly segment: SegmentPlace;
}

const settings: RankSettings = JSON.parse(Deno.args[0]!);
const { run, ranks, host, rank, servers, bytes, dtype, round, segment } = settings;
const floats = bytes / Float32Array.BYTES_PER_ELEMENT;
await using stack = new AsyncDisposableStack();
const hosts = await openHostLink({
  ...{ run, ranks, host, rank, servers, dtype, floats, gradientFloats: floats, generation: round },
});
stack.defer(() => hosts.close());
const shape = {
  rank,
  worldSize: itemAt(ranks, host),
  vectorBytes: bytes,
  regions: 1,
  sumInRegion: true,
};
const memory = mapSharedSegment(segment.path, segment.bytes);
const buffers = makeBuffers(shape, memory);
const link = await Link.open(itemAt(servers, host).address, run, `bench ${rank}`);
stack.defer(() => link.close());
const exchange = await openExchange(link, { ...shape, buffers, hosts });
stack.defer(() => exchange.close());
const info = {
  rank: hosts.firstRank + rank,
  worldSize: ranks.reduce((sum, count) => sum + count, 0),
};
const { milliseconds } = await timeAllReduce(
  { exchange, buffers, dtype },
  info,
  { kind: "allReduce", bytes, round, warmup: settings.warmup, steps: settings.steps },
  () => {},
);
console.log(JSON.stringify({ milliseconds }));

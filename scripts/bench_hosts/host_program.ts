/**
 * A host of `bench_hosts.ts`: its nats-server, its shared memory, and the decisions on its ranks' steps.
 *
 * Standard input has two lines of JSON: the settings, and the servers of all hosts, when this one has printed its own.
 * Prints a line for each size.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { type ServerCertificate, startBroker } from "../../src/hosts/broker.ts";
import type { ServerUsers } from "../../src/hosts/server_users.ts";
import { createSharedSegment, mapSharedSegment } from "../../src/base/shared_memory.ts";
import { allReduceCalls } from "../../src/bench/time_all_reduce.ts";
import { segmentBytes } from "../../src/exchange/shared_layout.ts";
import { SharedReducer } from "../../src/exchange/shared_reducer.ts";
import { fingerprint } from "../../src/protocol/fingerprint.ts";
import type { RunIdentity } from "../../src/protocol/subjects.ts";
import type { NatsAddress } from "../../src/protocol/address.ts";
import type { HostServer } from "../../src/exchange/hosts/host_link_options.ts";
import type { GradientDtype } from "../../src/protocol/messages.ts";
import { itemAt } from "../../src/base/item_at.ts";
import { type ProcessorSeconds, processorSeconds } from "./processor_seconds.ts";
import type { RankSettings } from "./rank_program.ts";

/** The settings of a host. */
export interface BenchHost {
  readonly run: RunIdentity;
  readonly users: ServerUsers;
  readonly tls: ServerCertificate | null;
  /** By host. */
  readonly ranks: readonly number[];
  readonly host: number;
  /** The address by which others reach it. */
  readonly address: string;
  readonly sizes: readonly number[];
  readonly dtype: GradientDtype;
  readonly warmup: number;
  readonly steps: number;
  readonly natsServer: string;
}

/** One size's result on a host. */
export interface HostResult {
  readonly bytes: number;
  /** By rank and call. */
  readonly milliseconds: readonly (readonly number[])[];
  /** In the calls that count. */
  readonly processor: ProcessorSeconds;
}

const RANK = new URL("rank_program.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

async function runRank(settings: RankSettings): Promise<number[]> {
  const args = ["run", "--quiet", "--no-check", "--allow-all", "--config", CONFIG, RANK];
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args, JSON.stringify(settings)],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const { code, stdout } = await child.output();
  if (code !== 0) throw new Error(`Rank ${settings.rank} ended with code ${code}`);
  return JSON.parse(new TextDecoder().decode(stdout)).milliseconds;
}

async function measure(
  host: BenchHost,
  servers: readonly HostServer[],
  bytes: number,
  round: number,
): Promise<HostResult> {
  const worldSize = itemAt(host.ranks, host.host);
  const shape = { worldSize, vectorBytes: bytes, regions: 1 };
  using segment = createSharedSegment("bench", segmentBytes(shape));
  const reducer = new SharedReducer(shape, mapSharedSegment(segment.ownPath, segment.bytes));
  const ranks = Promise.all(
    Array.from({ length: worldSize }, (_, rank) =>
      runRank({
        ...host,
        servers,
        rank,
        bytes,
        round,
        segment: { path: segment.path, bytes: segment.bytes },
      })),
  );
  const { warmup, steps } = host;
  let before = await processorSeconds(), after = before;
  const decide = async () => {
    for (let step = 0; step < allReduceCalls({ warmup, steps }); step++) {
      if (step === warmup) before = await processorSeconds();
      if (step === warmup + steps) after = await processorSeconds();
      await reducer.reduce({ epoch: round, step }, () => "continue");
    }
  };
  const [milliseconds] = await Promise.all([ranks, decide()]);
  await reducer.close();
  const processor = { server: after.server - before.server, all: after.all - before.all };
  return { bytes, milliseconds, processor };
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const host: BenchHost = JSON.parse((await lines.next()).value!);
const { natsServer, users, tls, run, address } = host;
const broker = await startBroker({
  ...{ executable: natsServer, host: "0.0.0.0", users, runId: run.runId },
  ...(tls ? { tls } : {}),
  plainOnLoopback: true,
});
const own: NatsAddress = {
  url: `nats://${address}:${new URL(broker.url).port}`,
  own: true,
  credentials: broker.credentials,
  ...(tls ? { fingerprint: fingerprint(tls.certificate) } : {}),
};
console.log(JSON.stringify({ name: `host${host.host}`, address: own } satisfies HostServer));
const servers = (JSON.parse((await lines.next()).value!) as HostServer[]).map((server, index) => {
  if (index !== host.host) return server;
  // As workers do: to the server of their own host without TLS.
  const { fingerprint: _, ...address } = own;
  return { ...server, address: { ...address, plain: true } };
});
for (const [round, bytes] of host.sizes.entries()) {
  console.log(JSON.stringify(await measure(host, servers, bytes, round + 1)));
}
await broker.stop();
Deno.exit();

/**
 * All-reduces over hosts in namespaces, by Lockstep's exchange and by gloo.
 *
 * @module
 */
import { mean, median } from "../../src/base/statistics.ts";
import type { HostServer } from "../../src/exchange/hosts/host_link_options.ts";
import { makeCertificate } from "../../src/hosts/own_certificate.ts";
import { makeServerUsers } from "../../src/hosts/server_users.ts";
import type { GradientDtype } from "../../src/protocol/messages.ts";
import { makeRunIdentity } from "../../src/protocol/subjects.ts";
import type { Hosts } from "../../tests/support/namespaces.ts";
import { natsServerProgram } from "../../tests/support/nats_server.ts";
import type { TrainProcess } from "../../tests/support/tiny_run.ts";
import type { BenchHost, HostResult } from "./host_program.ts";
import { runPeers } from "./peers.ts";

const CONFIG = new URL("../../deno.json", import.meta.url).pathname;
const HOST_PROGRAM = new URL("host_program.ts", import.meta.url).pathname;

/** One all-reduce, measured. */
export interface Measured {
  /** Of the median call, each the mean over the ranks. */
  readonly milliseconds: number;
  /** Of all processes of all hosts, for each 10⁹ bytes of the vector. */
  readonly processorSecondsPerGB: number;
  /** Those of the nats-servers among them. */
  readonly serverSecondsPerGB?: number;
}

/** Settings of the calls. */
export interface CallSettings {
  readonly steps: number;
  readonly warmup: number;
}

/** The lines of JSON that a process prints, one after the other. */
async function* linesOf(process: TrainProcess, count: number): AsyncGenerator<string> {
  for (let line = 0; line < count; line++) {
    await process.seen(new RegExp(`^(\\{.*\\n){${line + 1}}`));
    yield process.output().split("\n")[line]!;
  }
}

const total = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);

/** Measures Lockstep: all sizes in turn, with the same servers. */
export async function allReduceOverHosts(
  hosts: Hosts,
  ranks: readonly number[],
  sizes: readonly number[],
  { tls, dtype, steps, warmup }: CallSettings & {
    readonly tls: boolean;
    readonly dtype: GradientDtype;
  },
): Promise<Measured[]> {
  const common = {
    ...{ run: makeRunIdentity("bench"), users: makeServerUsers(), ranks, sizes, warmup, steps },
    ...{ dtype, tls: tls ? await makeCertificate() : null, natsServer: await natsServerProgram() },
  };
  const command = [Deno.execPath(), "run", "--quiet", "--no-check", "--allow-all"];
  const processes = hosts.hosts.map(({ index }) =>
    hosts.start(index, [...command, "--config", CONFIG, HOST_PROGRAM], { stdin: "piped" })
  );
  await using stack = new AsyncDisposableStack();
  for (const process of processes) stack.use(process);
  const say = (process: TrainProcess, value: unknown) => process.send(JSON.stringify(value) + "\n");
  const outputs = processes.map((process) => linesOf(process, 1 + sizes.length));
  const next = async () =>
    await Promise.all(outputs.map(async (lines) => JSON.parse((await lines.next()).value)));
  for (const { index, address } of hosts.hosts) {
    await say(processes[index]!, { ...common, host: index, address } satisfies BenchHost);
  }
  const servers: HostServer[] = await next();
  for (const process of processes) await say(process, servers);
  const measured: Measured[] = [];
  for (const bytes of sizes) measured.push(combine(await next(), steps * bytes / 1e9));
  for (const process of processes) await process.result;
  return measured;
}

function combine(results: readonly HostResult[], gigabytes: number): Measured {
  const ranks = results.flatMap(({ milliseconds }) => milliseconds);
  const calls = ranks[0]!.map((_, call) => mean(ranks.map((calls) => calls[call]!)));
  return {
    milliseconds: median(calls),
    processorSecondsPerGB: total(results.map(({ processor }) => processor.all)) / gigabytes,
    serverSecondsPerGB: total(results.map(({ processor }) => processor.server)) / gigabytes,
  };
}

/** Measures gloo. */
export async function allReduceByGloo(
  hosts: Hosts,
  ranks: readonly number[],
  bytes: number,
  { python, steps, warmup }: CallSettings & { readonly python: string },
): Promise<Measured> {
  const lengths = ["--steps", String(steps), "--warmup", String(warmup)];
  const args = ["--measure", "allreduce", "--bytes", String(bytes), ...lengths];
  const { milliseconds, processorSeconds } = await runPeers(hosts, ranks, python, args);
  return {
    milliseconds: milliseconds!,
    processorSecondsPerGB: processorSeconds! / (steps * bytes / 1e9),
  };
}

/**
 * Whole runs over hosts in namespaces: the command line of each host, as users start it.
 *
 * @module
 */
import { join } from "node:path";
import { stringify } from "@std/yaml";
import type { ConfigInput } from "../../src/config/schema.ts";
import type { Hosts } from "./namespaces.ts";
import { commandLine, newestRun, type TrainProcess } from "./tiny_run.ts";

/** A config with the settings of its hosts. */
export type HostsConfigInput = ConfigInput & { readonly hosts: NonNullable<ConfigInput["hosts"]> };

/** Options of the start of a run over hosts. */
export interface HostRunOptions {
  /** Environment variables of a host's command, by host. */
  readonly env?: readonly (Record<string, string> | undefined)[];
}

/** The commands of a run over hosts; all of them end with the scope. */
export interface HostRun extends AsyncDisposable {
  readonly coordinator: TrainProcess;
  /** By host; the coordinator's host has none. */
  readonly agents: (TrainProcess | undefined)[];
  /** The folder of the runs of this config. */
  readonly out: string;
  /** Starts the agent of a host that has none, or has one that has ended, and returns it. */
  join(host: number): TrainProcess;
  /** Returns the output of all commands, for a failure. */
  output(): string;
  /** Returns the run's folder. */
  folder(): Promise<string>;
}

const LISTEN = "0.0.0.0:4222";
/** The line for other hosts. */
const JOIN_LINE = /deno task (worker --join .*)$/m;

/** Starts `train` on host 0, and pastes the line that it prints on the others. */
export async function startHostRun(
  hosts: Hosts,
  name: string,
  config: HostsConfigInput,
  { env = [] }: HostRunOptions = {},
): Promise<HostRun> {
  const place = join(hosts.shared, name);
  const out = join(place, "runs");
  await Deno.mkdir(place);
  const path = join(place, "config.yaml");
  const { workers } = config.hosts;
  const count = workers?.length ?? config.hosts.count ?? hosts.hosts.length;
  const tokenFile = join(place, "token");
  const all = { ...config, out, hosts: { listen: LISTEN, tokenFile, ...config.hosts, count } };
  await Deno.writeTextFile(path, stringify(all));
  const start = (host: number, command: readonly string[]) =>
    hosts.start(host, command, {
      cwd: place,
      // Hosts are numbered in the order of their arrival otherwise.
      env: { ...(host > 0 ? { LOCKSTEP_HOST_INDEX: String(host) } : {}), ...env[host] },
    });
  const coordinator = start(0, commandLine(["train", "--config", path]));
  const agents: (TrainProcess | undefined)[] = [undefined];
  const processes = () => [coordinator, ...agents.filter((agent) => agent !== undefined)];
  const run: HostRun = {
    ...{ coordinator, agents, out },
    join: (host) => {
      const [, line] = JOIN_LINE.exec(coordinator.output())!;
      // A shell reads the line, as it does when a user pastes it.
      const paste = ["sh", "-c", `exec "$0" "$@" ${line}`];
      return agents[host] = start(host, [...paste, ...commandLine([])]);
    },
    output: () =>
      [coordinator, ...agents.slice(1)].map((process, host) =>
        `--- host ${host}\n${process?.output() ?? ""}`
      ).join("\n"),
    folder: () => newestRun(out),
    [Symbol.asyncDispose]: async () => {
      for (const process of processes()) await process[Symbol.asyncDispose]();
    },
  };
  try {
    await coordinator.seen(JOIN_LINE);
    for (let host = 1; host < count; host++) run.join(host);
    return run;
  } catch (error) {
    await run[Symbol.asyncDispose]();
    throw error;
  }
}

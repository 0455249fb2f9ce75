/**
 * The settings of a host that joins a run: from flags, from the environment, or from Slurm's variables.
 *
 * @module
 */
import { join } from "node:path";
import { UsageError } from "../base/errors.ts";
import { pathOption } from "../base/file_path.ts";
import { given } from "../base/given.ts";
import { cacheFolder } from "../base/paths.ts";
import { maskAddress } from "../base/secrets.ts";
import { DEFAULT_PORT, NATS_CA_VARIABLE } from "../protocol/address.ts";
import { hostOf, type JoinAddress, parseJoin } from "./join_line.ts";
import { type Environment, readSlurmTask, type SlurmTask } from "./slurm.ts";

/** The settings of a host that joins. */
export interface JoinSettings extends JoinAddress {
  /** Path of the token's file. */
  readonly tokenFile: string;
  /** The setting that names the token's file, for messages. */
  readonly tokenSource: string;
  /** Path of the certificates of authorities that may vouch for the server. */
  readonly ca?: string;
  /** The setting that names them, for messages. */
  readonly caSource?: string;
  /** Index of this host in the run, from 1; in the order of arrival unless given. */
  readonly hostIndex?: number;
  /** The name, address, network or interface by which other hosts reach this one. */
  readonly address?: string;
  /** The setting that gives it, for messages. */
  readonly addressSource?: string;
  /** The folder with this host's copy of the images; as the coordinator's unless given. */
  readonly data?: string;
}

/** A process that has nothing to do, with the reason as a sentence: it ends with success. */
export interface NothingToDo {
  readonly idle: string;
}

/** The flags of a host that joins, as far as they are given. */
export interface JoinFlags {
  readonly join?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly ca?: string | undefined;
  readonly address?: string | undefined;
  readonly data?: string | undefined;
}

/** Environment variables that say what the flags say. */
export const JOIN_VARIABLE = "LOCKSTEP_JOIN";
export const TOKEN_FILE_VARIABLE = "LOCKSTEP_TOKEN_FILE";
export const HOST_INDEX_VARIABLE = "LOCKSTEP_HOST_INDEX";
export const ADDRESS_VARIABLE = "LOCKSTEP_ADDRESS";
export const DATA_VARIABLE = "LOCKSTEP_DATA";

/** The largest index of a host. */
const MAX_INDEX = 1023;

/** Returns the path of the token's file where none is given. */
export function defaultTokenFile(): string {
  return join(cacheFolder(), "join-token");
}

/**
 * Reads the settings of a host that joins.
 *
 * @param isOwnAddress Tells whether a host's name or address is this machine's
 * @returns The settings, or why this process has nothing to do
 * @throws {UsageError} For settings that are missing, wrong, or contradict each other, with the remedy
 */
export function readJoinSettings(
  flags: JoinFlags,
  env: Environment,
  isOwnAddress: (host: string) => boolean = () => false,
): JoinSettings | NothingToDo {
  const task = readSlurmTask(env);
  const idle = task && idleTask(task);
  if (idle) return { idle };
  const named = chosen("--join", flags.join, JOIN_VARIABLE, env(JOIN_VARIABLE));
  const address = named ? parseJoin(named.value, named.where) : task && addressFromSlurm(task);
  if (!address) throw nothingToJoin(flags, env);
  if (task && task.nodes.length > 1 && isCoordinators(task, address, isOwnAddress)) {
    return {
      idle:
        `Node ${task.node} is the coordinator's, which starts the workers of its own node itself: nothing to do here`,
    };
  }
  const reached = chosen("--address", flags.address, ADDRESS_VARIABLE, env(ADDRESS_VARIABLE));
  const ca = authorityOf(flags, env, address);
  const data = chosen("--data", flags.data, DATA_VARIABLE, env(DATA_VARIABLE));
  return {
    ...address,
    ...tokenOf(flags, env),
    ...given("ca", pathFrom(ca)),
    ...given("caSource", ca?.where),
    ...given("hostIndex", indexOf(env, named?.where === "--join" ? undefined : task, address)),
    ...given("address", reached?.value),
    ...given("addressSource", reached?.where),
    ...given("data", pathFrom(data)),
  };
}

/** One agent speaks for a host, so the other tasks of a node have nothing to do. */
function idleTask({ localIndex, node }: SlurmTask): string | undefined {
  if (localIndex === 0) return undefined;
  return `Task ${localIndex} of node ${node} has nothing to do: task 0 starts all workers of the node ` +
    "(srun --ntasks-per-node=1 starts no others)";
}

/** The coordinator is expected on the first node of the job, where a batch script runs. */
function addressFromSlurm({ nodes }: SlurmTask): JoinAddress {
  return { servers: [`${nodes[0]}:${DEFAULT_PORT}`], trust: { kind: "token" } };
}

function isCoordinators(
  task: SlurmTask,
  { servers }: JoinAddress,
  isOwnAddress: (host: string) => boolean,
): boolean {
  return servers.some((server) => {
    const host = hostOf(server);
    return shortName(host) === shortName(task.node) || isOwnAddress(host);
  });
}

/**
 * The index of this host: as the environment says, or by its place among the nodes of Slurm, where the coordinator's
 * node comes first.
 */
function indexOf(
  env: Environment,
  task: SlurmTask | undefined,
  { servers }: JoinAddress,
): number | undefined {
  const text = env(HOST_INDEX_VARIABLE);
  if (text) {
    const index = Number(text);
    if (/^\d+$/.test(text) && index >= 1 && index <= MAX_INDEX) return index;
    throw new UsageError(
      `${HOST_INDEX_VARIABLE} is ${text}: ${
        index === 0
          ? "host 0 is the coordinator's, so give the other hosts 1, 2 and so on"
          : `give a whole number from 1 to ${MAX_INDEX}`
      }, or leave it out for the order of arrival`,
    );
  }
  if (!task || task.nodes.length < 2) return undefined;
  const hosts = servers.map(hostOf);
  // The node of an address that is a number isn't known.
  if (hosts.some((host) => /^[\d.]+$|^\[/.test(host))) return undefined;
  const names = hosts.map(shortName);
  const place = task.nodes.findIndex((node) => names.includes(shortName(node)));
  return place >= 0 && task.nodeIndex > place ? task.nodeIndex : task.nodeIndex + 1;
}

function shortName(name: string): string {
  return name.toLowerCase().split(".", 1)[0] ?? name;
}

function tokenOf(flags: JoinFlags, env: Environment): { tokenFile: string; tokenSource: string } {
  const named = chosen(
    "--token-file",
    flags.tokenFile,
    TOKEN_FILE_VARIABLE,
    env(TOKEN_FILE_VARIABLE),
  );
  return {
    tokenFile: pathFrom(named) ?? defaultTokenFile(),
    tokenSource: named?.where ?? "The token's file (--token-file)",
  };
}

/** The authority of a server with a certificate of its own; of no use for a fingerprint. */
function authorityOf(
  flags: JoinFlags,
  env: Environment,
  { trust }: JoinAddress,
): Chosen | undefined {
  if (trust.kind === "authority") {
    return chosen("--ca", flags.ca, NATS_CA_VARIABLE, env(NATS_CA_VARIABLE));
  }
  if (flags.ca === undefined) return undefined;
  throw new UsageError(
    "--ca names the authority of a server at tls://, and --join names one at nats://, which is known by its fingerprint: " +
      "leave out --ca, or copy the line again that the coordinator printed",
  );
}

/** A setting, and what gave it. */
interface Chosen {
  readonly value: string;
  readonly where: string;
}

/** @throws {UsageError} When flag and variable give different values */
function chosen(
  flag: string,
  value: string | undefined,
  variable: string,
  other: string | undefined,
): Chosen | undefined {
  if (value === undefined) return other ? { value: other, where: variable } : undefined;
  if (other && other !== value) {
    throw new UsageError(
      `${flag} is ${maskAddress(value)}, and ${variable} is ${
        maskAddress(other)
      }: leave one of them out`,
    );
  }
  return { value, where: flag };
}

function pathFrom(named: Chosen | undefined): string | undefined {
  return named && pathOption(named.where, named.value);
}

function nothingToJoin(flags: JoinFlags, env: Environment): UsageError {
  const half = [
    ...Object.entries({
      "--token-file": flags.tokenFile,
      "--ca": flags.ca,
      "--address": flags.address,
      "--data": flags.data,
    }).filter(([, value]) => value !== undefined).map(([flag]) => flag),
    ...[TOKEN_FILE_VARIABLE, HOST_INDEX_VARIABLE, ADDRESS_VARIABLE, DATA_VARIABLE].filter((name) =>
      env(name)
    ),
  ];
  const only = half.length > 0
    ? `${half.join(" and ")} alone ${half.length > 1 ? "say" : "says"} not what to join`
    : "Nothing to join is given";
  return new UsageError(
    `${only}: paste the line that the coordinator printed ("deno task train --hosts 2 --listen 0.0.0.0:4222" prints it), ` +
      `or set ${JOIN_VARIABLE} to the address in it`,
  );
}

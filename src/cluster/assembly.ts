/**
 * The start of a cluster: broker, channels, workers that join, and the end of all of them.
 *
 * @module
 */
import { hostname } from "node:os";
import { anySignal } from "../base/async.ts";
import { type ComputeDevice, onDevice } from "../base/compute_device.ts";
import { given } from "../base/given.ts";
import type { SegmentAddress } from "../base/shared_memory.ts";
import type { Reporter } from "../events/reporter.ts";
import { BlobTransfers } from "../protocol/blob_transfers.ts";
import { CommandClient } from "../protocol/command_channel.ts";
import { type Json, packJson } from "../protocol/large_json.ts";
import { Link } from "../protocol/link.ts";
import { SkippedFacts } from "../protocol/skipped_samples.ts";
import { makeRunIdentity, type RunIdentity } from "../protocol/subjects.ts";
import type { SharedMemory } from "../protocol/worker_settings.ts";
import {
  CoordinatorExchange,
  type ExchangeOptions,
  type HostRanks,
} from "./coordinator_exchange.ts";
import { HeartbeatMonitor } from "./heartbeat_monitor.ts";
import type { WorkerLostError } from "./lost_worker.ts";
import type { RecoveryOptions } from "./recover.ts";
import { tellOfRefusals } from "./refused_messages.ts";
import { type JoinedWorker, Rendezvous, type Welcome } from "./rendezvous.ts";
import {
  openServer,
  type RunServer,
  type ServerOptions,
  tellOfOutages,
} from "../hosts/run_server.ts";
import { HostNetwork, type HostsOptions } from "../hosts/host_network.ts";
import { LocalHost } from "../hosts/local_host.ts";
import type { SpawnedWorker } from "../hosts/spawn.ts";
import { HostGroup, type WorkerHost } from "../hosts/worker_host.ts";

/** Options of a cluster. */
export interface ClusterOptions {
  /** Name of the run: a part of its messages' subjects. */
  readonly name: string;
  /** Worker processes. */
  readonly workers: number;
  /** Threads of each worker. */
  readonly threads: number;
  /** Other hosts, if the run has any, and the workers of each. */
  readonly hosts?: HostsOptions | undefined;
  /** The device of each worker of this host, in order; the CPU unless given. */
  readonly devices?: readonly ComputeDevice[] | undefined;
  /** The libtensorflow that the workers open; that of the environment or the cache unless given. */
  readonly libraryPath?: string | undefined;
  /** Seconds within which workers must join, and after which a silent worker counts as lost. */
  readonly liveness: {
    readonly joinTimeout: number;
    readonly lostAfter: number;
    /** Seconds without progress of any rank after which a standstill is reported. */
    readonly reportAfter: number;
    /** Seconds without progress after which a worker counts as lost that has work of its own to do. */
    readonly stallAfter: number;
  };
  readonly server: ServerOptions;
  /** True after a loss of all workers: a fault point of the environment is not for these. */
  readonly isComeback?: boolean;
  /** The policy for lost workers; unless given, the cluster fails. */
  readonly recovery?: RecoveryOptions | undefined;
  /** The job that every worker receives. */
  readonly job: Json;
  /** The job of workers on other hosts, which have no part in the memory and the folders of this one. */
  readonly jobElsewhere?: Json;
  /** Program of the workers, unless they are those of a run. */
  readonly entry?: URL | undefined;
  /** The exchange between the ranks; `undefined` for ranks without an exchange. */
  readonly exchange?: ExchangeOptions;
  readonly reporter: Pick<Reporter, "warn" | "workerLine"> & Partial<Pick<Reporter, "info">>;
  /** Ends the wait for workers when it fires. */
  readonly signal?: AbortSignal | undefined;
  /** Memory in which the workers share decoded images. */
  readonly cache?: SegmentAddress;
  /** The only folder into which the workers may write; its path has no comma. */
  readonly writableFolder?: string;
}

/** Milliseconds that workers get to answer, and then to exit. */
export const LEAVE_MS = 700;

/** The coordinator's channels to its workers. */
export interface Channels {
  readonly run: RunIdentity;
  readonly server: RunServer;
  readonly link: Link;
  readonly transfers: BlobTransfers;
  readonly commands: CommandClient;
  readonly skipped: SkippedFacts;
}

/** The exchanges of the present generation and of others, which are ended with the cluster. */
export interface HeldExchange {
  exchange: CoordinatorExchange | undefined;
  /** Those of generations that didn't begin: workers may have moved into their memory. */
  readonly left: CoordinatorExchange[];
}

/** The parts of a cluster whose workers have joined. */
export interface ClusterParts {
  readonly options: ClusterOptions;
  readonly workers: readonly JoinedWorker[];
  readonly channels: Channels;
  readonly held: HeldExchange;
  readonly group: HostGroup;
  /** The device of each worker, in the order of the ranks; nothing where all compute on the CPU. */
  readonly devices: readonly ComputeDevice[] | undefined;
  readonly network: HostNetwork | undefined;
  readonly rendezvous: Rendezvous;
  readonly monitor: HeartbeatMonitor;
  readonly failed: AbortSignal;
  readonly losses: Losses;
  readonly stack: AsyncDisposableStack;
}

/** The workers that were lost, and not replaced yet. */
export class Losses {
  readonly #errors: WorkerLostError[] = [];
  #next = new AbortController();

  /** Fires at the first loss after the last {@linkcode take}. */
  get signal(): AbortSignal {
    return this.#next.signal;
  }

  add(error: WorkerLostError): void {
    this.#errors.push(error);
    this.#next.abort(error);
  }

  take(): WorkerLostError[] {
    this.#next = new AbortController();
    return this.#errors.splice(0);
  }
}

/**
 * Starts the broker and the workers, and waits until all workers have joined. A failure stops everything that was
 * started.
 *
 * @throws {LockstepError} when the server doesn't answer, or a worker doesn't join
 * @throws the signal's reason when it fires
 */
export async function assembleCluster(options: ClusterOptions): Promise<ClusterParts> {
  await using stack = new AsyncDisposableStack();
  const { reporter, signal, liveness } = options;
  const failure = new AbortController();
  const losses = new Losses();
  const channels = await openChannels(options, stack, failure);
  const { link } = channels;
  const warn = (message: string) => reporter.warn(message);
  const held: HeldExchange = { exchange: undefined, left: [] };
  stack.defer(() => {
    for (const exchange of [held.exchange, ...held.left]) exchange?.disposeSegments();
  });
  const { group, devices, network } = await openHosts(options, channels, stack, failure);
  channels.commands.describe(devices?.map(onDevice) ?? []);
  const all = Array.from({ length: options.workers }, (_, index) => index);
  held.exchange = await makeExchange(options, link, group.hostsOf(all));
  const spawned: SpawnedWorker[] = [];
  const rendezvous = await Rendezvous.open(link, {
    worldSize: options.workers,
    joinTimeout: liveness.joinTimeout,
    spawned,
    onRefused: warn,
  });
  stack.defer(() => rendezvous.close());
  signal?.throwIfAborted();
  stack.defer(() => group.stop(LEAVE_MS));
  const segments = segmentsFor(held.exchange, options.cache);
  spawned.push(...await group.start(all, segments, options.isComeback ?? false));
  stack.defer(() => held.exchange?.[Symbol.asyncDispose]());
  const known: { monitor?: HeartbeatMonitor } = {};
  const workers = await rendezvous.gather(async (joined) => {
    const problems = joined.map(({ segmentProblem }) => segmentProblem);
    const describe = (rank: number) => known.monitor?.describe(rank);
    const cache = usableCache(options, problems);
    const places = await held.exchange?.open(problems, describe);
    const memory = { ...(places?.[0] ? { segment: places[0] } : {}), ...(cache ? { cache } : {}) };
    return welcomeOf(options, memory, channels);
  }, anySignal(failure.signal, signal));
  const monitor = known.monitor = await HeartbeatMonitor.open(
    link,
    channels.server.address,
    channels.run,
    {
      ...{ workers, spawned, ...liveness, onStraggler: warn },
      reconnectTimeout: channels.server.reconnectTimeout,
      replaceServer: channels.server.replace,
      onLost: (error) => losses.add(error),
      onServerLost: (error) => failure.abort(error),
    },
  );
  return {
    ...{ options, workers, channels, held, group, devices, network, rendezvous, monitor, losses },
    failed: failure.signal,
    stack: stack.move(),
  };
}

/** Starts the server and opens the channels to it; `lost` fires when one of them is lost for good. */
async function openChannels(
  { name, workers, server, reporter }: ClusterOptions,
  stack: AsyncDisposableStack,
  lost: AbortController,
): Promise<Channels> {
  const run = makeRunIdentity(name);
  const onWarning = (message: string) => reporter.warn(message);
  const runServer = await openServer({ ...server, runId: run.runId }, stack, {
    onWarning,
    onLost: (error) => lost.abort(error),
  });
  const { address, reconnectTimeout, replace } = runServer;
  const reconnectMs = 1000 * reconnectTimeout;
  // A server that was started here answers, or is being started again.
  const open = replace ? Link.openPatiently : Link.open;
  const link = await open(address, run, "coordinator", { reconnectMs });
  stack.defer(() => link.close());
  tellOfOutages(link, runServer, onWarning);
  const { failed } = link;
  failed.addEventListener("abort", () => lost.abort(failed.reason), { once: true });
  if (failed.aborted) lost.abort(failed.reason);
  link.onNotice(onWarning);
  tellOfRefusals(link, onWarning);
  const transfers = await BlobTransfers.open(link, "coordinator");
  stack.defer(() => transfers.close());
  const commands = await CommandClient.open(link, transfers, workers);
  stack.defer(() => commands.close());
  const skipped = stack.use(new SkippedFacts(link));
  skipped.listen();
  return { run, server: runServer, link, transfers, commands, skipped };
}

/** The hosts of a cluster, their devices, and the network between them. */
interface OpenedHosts {
  readonly group: HostGroup;
  readonly devices: readonly ComputeDevice[] | undefined;
  readonly network: HostNetwork | undefined;
}

/** Opens this host, and waits for others if there are to be any. */
async function openHosts(
  options: ClusterOptions,
  { run, server: { address: nats, reconnectTimeout }, link }: Channels,
  stack: AsyncDisposableStack,
  failure: AbortController,
): Promise<OpenedHosts> {
  const { workers, threads, devices, libraryPath, liveness, writableFolder, entry } = options;
  const { hosts: others, reporter } = options;
  const onLine = (rank: number, line: string) => reporter.workerLine(rank, line);
  const network = others && stack.use(
    await HostNetwork.open(link, run, {
      ...{ ...others, liveness, reconnectTimeout, onLine },
      server: nats,
    }, {
      onInfo: (message) => reporter.info?.(message),
      onWarning: (message) => reporter.warn(message),
      onLost: (error) => failure.abort(error),
      signal: anySignal(failure.signal, options.signal),
    }),
  );
  const local = new LocalHost({
    ...{ run, nats, threads, devices, libraryPath, lostAfter: liveness.lostAfter },
    ...{ reconnectTimeout, writableFolder, onLine, peers: network?.peersOf(0) },
    ...given("entry", entry),
  }, hostname());
  if (!network) return { group: new HostGroup([local], [workers]), devices, network };
  const all = [...devices ?? [], ...network.devices];
  return {
    group: new HostGroup([local, ...network.hosts], others.layout),
    devices: all.some(({ kind }) => kind !== "cpu") ? all : undefined,
    network,
  };
}

/** Returns the shared memory that the workers of a host test before they join. */
export function segmentsFor(
  exchange: CoordinatorExchange | undefined,
  cache: SegmentAddress | undefined,
): (host: WorkerHost) => readonly SegmentAddress[] {
  return (host) => {
    // Decoded images lie in the memory of the coordinator's machine.
    const all = [exchange?.segmentOf(host), host.index === 0 ? cache : undefined];
    return all.filter((each) => each !== undefined);
  };
}

/** Makes the coordinator's end of an exchange; one that follows another goes the same way as that. */
export async function makeExchange(
  { exchange, reporter }: ClusterOptions,
  link: Link,
  hosts: readonly HostRanks[],
  before?: CoordinatorExchange,
): Promise<CoordinatorExchange | undefined> {
  if (!exchange) return undefined;
  const kind = before && !before.places ? "nats" : exchange.kind;
  const warn = (line: string) => reporter.warn(line);
  return await CoordinatorExchange.make(link, hosts, { ...exchange, kind }, warn);
}

/** The shared memory for decoded images, if all workers can use it. */
function usableCache(
  { cache, reporter }: ClusterOptions,
  problems: readonly (string | null)[],
): SharedMemory["cache"] {
  if (!cache) return undefined;
  if (problems.every((problem) => problem === null)) {
    return { path: cache.path, bytes: cache.bytes };
  }
  reporter.warn("data.cache can't be shared by these workers: each keeps its own share of it");
  return undefined;
}

/** The welcome message of all workers; a long job is sent as bytes that the welcome describes. */
export function welcomeOf(
  { job, jobElsewhere }: Pick<ClusterOptions, "job" | "jobElsewhere">,
  memory: SharedMemory,
  channels: Channels,
): Welcome {
  const welcome = { ...packedJob(job, channels), ...memory };
  return jobElsewhere === undefined
    ? welcome
    : { ...welcome, elsewhere: packedJob(jobElsewhere, channels) };
}

function packedJob(job: Json, { link, transfers }: Channels) {
  const { value, jsonBytes, payload } = packJson(job, undefined, link.maxPayloadBytes);
  const packed = { job: value, jobBytes: jsonBytes };
  return payload ? { ...packed, payload: transfers.offer(payload).transfer } : packed;
}

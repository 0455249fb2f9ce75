/**
 * Broker, workers and channels of a run: starts all of them, and stops all of them at the end.
 *
 * @module
 */
import { waitAtMost } from "../base/async.ts";
import { type ComputeDevice, onDevice } from "../base/compute_device.ts";
import type { SegmentAddress } from "../base/shared_memory.ts";
import type { StepKey } from "../base/step_key.ts";
import type { Reporter } from "../events/reporter.ts";
import type { Reducer } from "../exchange/gradient_exchange.ts";
import { HangWatch } from "../exchange/hang_watch.ts";
import type { NatsAddress } from "../protocol/address.ts";
import { BlobTransfers } from "../protocol/blob_transfers.ts";
import type { ServerFacts } from "../protocol/check_server.ts";
import { CommandClient, type Reply, WorkerFailedError } from "../protocol/command_channel.ts";
import { type Json, packJson } from "../protocol/large_json.ts";
import { Link } from "../protocol/link.ts";
import { makeRunIdentity, type RunIdentity } from "../protocol/subjects.ts";
import { WORKER_COMMANDS } from "../protocol/worker_commands.ts";
import type { SharedMemory } from "../protocol/worker_settings.ts";
import { ExchangeHost, type ExchangeOptions } from "./exchange_host.ts";
import { HeartbeatMonitor, type WorkerHeartbeat } from "./heartbeat_monitor.ts";
import { WorkerLostError } from "./lost_worker.ts";
import { describeRefusals, type RefusedMessages, tellOfRefusals } from "./refused_messages.ts";
import { type JoinedWorker, Rendezvous, type Welcome } from "./rendezvous.ts";
import { openServer, type ServerOptions } from "./run_server.ts";
import { type SpawnedWorker, spawnWorkers } from "./spawn.ts";

/** Options of a cluster. */
export interface ClusterOptions {
  /** Name of the run: a part of its messages' subjects. */
  readonly name: string;
  /** Worker processes. */
  readonly workers: number;
  /** Threads of each worker. */
  readonly threads: number;
  /** The device of each worker; the CPU unless given. */
  readonly devices?: readonly ComputeDevice[] | undefined;
  /** The libtensorflow that the workers open; that of the environment or the cache unless given. */
  readonly libraryPath?: string | undefined;
  /** Seconds within which workers must join, and after which a silent worker counts as lost. */
  readonly liveness: {
    readonly joinTimeout: number;
    readonly lostAfter: number;
    /** Seconds without progress of any rank after which a standstill is reported. */
    readonly reportAfter: number;
  };
  readonly server: ServerOptions;
  /** The job that every worker receives. */
  readonly job: Json;
  /** The exchange between the ranks; `undefined` for ranks without an exchange. */
  readonly exchange?: ExchangeOptions;
  readonly reporter: Pick<Reporter, "warn" | "workerLine">;
  /** Ends the wait for workers when it fires. */
  readonly signal?: AbortSignal | undefined;
  /** Memory in which the workers share decoded images. */
  readonly cache?: SegmentAddress;
  /** The only folder into which the workers may write; its path has no comma. */
  readonly writableFolder?: string;
}

/** A cluster whose ranks exchange vectors. */
export type ExchangingCluster = Cluster & { readonly exchange: ExchangeHost };

/** Milliseconds that workers get to answer, and then to exit. */
const LEAVE_MS = 700;

/** Milliseconds between two looks at the ranks' steps. */
const LOOK_MS = 250;

/** The coordinator's channels to its workers. */
interface Channels {
  readonly run: RunIdentity;
  readonly address: NatsAddress;
  readonly link: Link;
  readonly transfers: BlobTransfers;
  readonly commands: CommandClient;
}

/** The parts of a cluster whose workers have joined. */
interface ClusterParts {
  readonly workers: readonly JoinedWorker[];
  readonly channels: Channels;
  readonly exchange: ExchangeHost | undefined;
  readonly monitor: HeartbeatMonitor;
  readonly lost: AbortSignal;
  readonly reporter: Pick<Reporter, "warn">;
  readonly stack: AsyncDisposableStack;
  /** As in {@linkcode ClusterOptions}. */
  readonly reportAfter: number;
}

/** The workers of a run, joined and ready for commands. */
export class Cluster implements AsyncDisposable {
  readonly workers: readonly JoinedWorker[];
  /** Fires once, with the error to report, when a worker or the server is lost. */
  readonly lost: AbortSignal;
  /** The coordinator's end of the exchange; `undefined` for ranks without an exchange. */
  readonly exchange: ExchangeHost | undefined;
  readonly #channels: Channels;
  readonly #monitor: HeartbeatMonitor;
  readonly #reporter: Pick<Reporter, "warn">;
  readonly #stack: AsyncDisposableStack;
  readonly #hangs: HangWatch;
  #call: Promise<unknown> = Promise.resolve();

  private constructor(parts: ClusterParts) {
    this.workers = parts.workers;
    this.lost = parts.lost;
    this.exchange = parts.exchange;
    this.#channels = parts.channels;
    this.#monitor = parts.monitor;
    this.#reporter = parts.reporter;
    this.#stack = parts.stack;
    this.#hangs = new HangWatch(1000 * parts.reportAfter);
  }

  /**
   * Starts the broker and the workers, and waits until all workers have joined. A failure stops everything that
   * was started.
   *
   * @throws {LockstepError} when the server doesn't answer, or a worker doesn't join
   * @throws the signal's reason when it fires
   */
  static async assemble(
    options: ClusterOptions & { readonly exchange: ExchangeOptions },
  ): Promise<ExchangingCluster>;
  static async assemble(options: ClusterOptions): Promise<Cluster>;
  static async assemble(options: ClusterOptions): Promise<Cluster> {
    await using stack = new AsyncDisposableStack();
    const { reporter, signal } = options;
    const lost = new AbortController();
    const channels = await openChannels(options, stack, lost);
    const { link } = channels;
    const warn = (message: string) => reporter.warn(message);
    const exchange = options.exchange &&
      new ExchangeHost(link, options.workers, options.exchange, warn);
    // Workers share this machine: each is started here.
    if (exchange?.segment) stack.use(exchange.segment);
    const spawned: SpawnedWorker[] = [];
    const rendezvous = await Rendezvous.open(link, {
      worldSize: options.workers,
      joinTimeout: options.liveness.joinTimeout,
      spawned,
      onRefused: warn,
    });
    stack.defer(() => rendezvous.close());
    signal?.throwIfAborted();
    spawned.push(...startWorkers(options, channels, exchange, stack));
    if (exchange) stack.use(exchange);
    const known: { monitor?: HeartbeatMonitor } = {};
    const workers = await rendezvous.gather(async (joined) => {
      const problems = joined.map(({ segmentProblem }) => segmentProblem);
      const describe = (rank: number) => known.monitor?.describe(rank);
      const cache = usableCache(options, problems);
      const segment = await exchange?.open(problems, describe);
      const memory = { ...(segment ? { segment } : {}), ...(cache ? { cache } : {}) };
      return welcomeOf(options.job, memory, channels);
    }, AbortSignal.any([lost.signal, ...(signal ? [signal] : [])]));
    const monitor = known.monitor = await HeartbeatMonitor.open(
      link,
      channels.address,
      channels.run,
      { workers, spawned, ...options.liveness, lost, onStraggler: warn },
    );
    return new Cluster({
      ...{ workers, channels, exchange, monitor, reporter },
      lost: lost.signal,
      stack: stack.move(),
      reportAfter: options.liveness.reportAfter,
    });
  }

  /** The nats-server that the run talks through. */
  get server(): ServerFacts {
    return this.#channels.link.facts;
  }

  /** Records the step that all ranks are in, for messages. */
  inStep(step: StepKey): void {
    this.#monitor.inStep(step);
  }

  /**
   * Watches the ranks' steps until the watch is disposed of, and reports when none of them gets on.
   *
   * @param reducer Knows where the ranks are, unless heartbeats alone say so
   */
  watchSteps(reducer: Pick<Reducer, "places" | "reported">): Disposable {
    this.#hangs.begin();
    const timer = setInterval(() => {
      const places = reducer.places?.();
      const ranks = this.#monitor.steppingRanks().map((rank) => ({
        ...rank,
        ...places?.[rank.rank],
      }));
      if (ranks.length < this.workers.length || this.lost.aborted) return;
      const report = this.#hangs.look(ranks, performance.now());
      if (!report) return;
      reducer.reported?.();
      this.#reporter.warn(report);
    }, LOOK_MS);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  /** Records that all ranks validate, for messages. */
  inValidation(epoch: number): void {
    this.#monitor.inValidation(epoch);
  }

  /** Steps that the workers have begun in their current command, according to their last heartbeats. */
  stepsBegun(command: string): number[] {
    return this.workers.map(({ rank }) => {
      const heartbeat = this.#monitor.lastHeartbeat(rank);
      return heartbeat?.activity === command ? heartbeat.step : 0;
    });
  }

  /** Messages that coordinator and workers have refused so far. */
  refused(): RefusedMessages {
    const signs = this.#monitor.heartbeats();
    const workers = signs.reduce((sum, { refused = 0 }) => sum + refused, 0);
    return { ...this.#channels.link.refused, workers };
  }

  /** Returns the last heartbeats of the workers. */
  heartbeats(): WorkerHeartbeat[] {
    return this.#monitor.heartbeats();
  }

  /**
   * Has every worker run a command.
   *
   * @returns The replies in the order of the ranks
   * @throws {LockstepError} when a worker fails or is lost
   */
  async callAll(
    name: string,
    args: Json = null,
    { payload, signal }: { payload?: Uint8Array; signal?: AbortSignal | undefined } = {},
  ): Promise<Reply[]> {
    const call = this.#channels.commands.callAll(name, args, {
      signal: signal ? AbortSignal.any([this.lost, signal]) : this.lost,
      ...(payload ? { payload } : {}),
    });
    this.#call = call.catch(() => {}); // the caller sees the failure
    return await call;
  }

  /** Ends all workers, with a shutdown message where possible, and every other part of the cluster. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#monitor.close();
    const refusals = describeRefusals(this.refused());
    if (refusals) this.#reporter.warn(refusals);
    if (!this.lost.aborted) await this.#sayStop();
    await this.#stack.disposeAsync();
  }

  async #sayStop(): Promise<void> {
    await waitAtMost(LEAVE_MS, this.#call);
    const signal = AbortSignal.timeout(LEAVE_MS);
    // A worker that is busy or has failed doesn't answer; signals end it.
    await this.#channels.commands.callAll(WORKER_COMMANDS.stop, null, { signal }).catch(() => {});
  }
}

/** Starts the server and opens the channels to it; `lost` fires when one of them is lost for good. */
async function openChannels(
  { name, workers, devices, server, reporter }: ClusterOptions,
  stack: AsyncDisposableStack,
  lost: AbortController,
): Promise<Channels> {
  const run = makeRunIdentity(name);
  const address = await openServer(server, stack, (error) => {
    reporter.warn(error.message);
    lost.abort(error);
  });
  const link = await Link.open(address, run, "coordinator");
  stack.defer(() => link.close());
  const { failed } = link;
  failed.addEventListener("abort", () => lost.abort(failed.reason), { once: true });
  if (failed.aborted) lost.abort(failed.reason);
  link.onNotice((message) => reporter.warn(message));
  tellOfRefusals(link, (message) => reporter.warn(message));
  const transfers = await BlobTransfers.open(link, "coordinator");
  stack.defer(() => transfers.close());
  const commands = await CommandClient.open(link, transfers, workers, devices?.map(onDevice));
  stack.defer(() => commands.close());
  return { run, address, link, transfers, commands };
}

/** Starts the worker processes, and pushes their end onto the stack. */
function startWorkers(
  { workers: count, threads, devices, libraryPath, liveness, cache, writableFolder, reporter }:
    ClusterOptions,
  { run, address: nats }: Channels,
  exchange: ExchangeHost | undefined,
  stack: AsyncDisposableStack,
): readonly SpawnedWorker[] {
  const group = spawnWorkers({
    ...{ count, run, nats, threads, devices, libraryPath, lostAfter: liveness.lostAfter },
    writableFolder,
    segments: [exchange?.segment, cache].filter((each) => each !== undefined),
    onLine: (rank, line) => reporter.workerLine(rank, line),
  });
  stack.defer(() => group.stop(LEAVE_MS));
  return group.workers;
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
function welcomeOf(job: Json, memory: SharedMemory, { link, transfers }: Channels): Welcome {
  const { value, jsonBytes, payload } = packJson(job, undefined, link.maxPayloadBytes);
  const welcome = { job: value, jobBytes: jsonBytes, ...memory };
  return payload ? { ...welcome, payload: transfers.offer(payload).transfer } : welcome;
}

/** The rank that a failure concerns, if it concerns one. */
export function failedRank(error: unknown): number | undefined {
  const isOfRank = error instanceof WorkerLostError || error instanceof WorkerFailedError;
  return isOfRank ? error.rank : undefined;
}

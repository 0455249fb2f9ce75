/**
 * Broker, workers and channels of a run: everything that has to be started, and that must be gone at the end.
 *
 * @module
 */
import { waitAtMost } from "../base/async.ts";
import { LockstepError } from "../base/errors.ts";
import type { SegmentAddress, SharedSegment } from "../base/shared_memory.ts";
import type { Config } from "../config/schema.ts";
import type { StepKey } from "../base/step_key.ts";
import type { Reducer } from "../exchange/gradient_exchange.ts";
import {
  agreeOnSegment,
  type ExchangeSegment,
  type ExchangeShape,
  makeSegment,
  openReducer,
} from "../exchange/open_exchange.ts";
import { CommandClient, type Reply, WorkerFailedError } from "../protocol/commands.ts";
import { type Json, packJson } from "../protocol/large_json.ts";
import type { NatsAddress } from "../protocol/address.ts";
import { Link } from "../protocol/link.ts";
import type { GradientDtype } from "../protocol/messages.ts";
import type { ServerFacts } from "../protocol/check_server.ts";
import { serverAddress } from "../protocol/server_address.ts";
import { makeRunIdentity } from "../protocol/subjects.ts";
import { BlobTransfers } from "../protocol/blob_transfers.ts";
import type { Reporter } from "../events/reporter.ts";
import { COMMANDS } from "../train/commands.ts";
import { type Job, threadsPerWorker } from "../train/job.ts";
import { type Broker, startBroker } from "./broker.ts";
import { describeExit } from "./lines.ts";
import { HeartbeatMonitor, type WorkerHeartbeat } from "./heartbeat_monitor.ts";
import { WorkerLostError } from "./lost_worker.ts";
import { describeRefusals, type RefusedMessages, tellOfRefusals } from "./refused_messages.ts";
import { type JoinedWorker, Rendezvous } from "./rendezvous.ts";
import { spawnWorkers, type WorkerGroup } from "./spawn.ts";

/** The parts of a cluster. */
export interface ClusterOptions {
  readonly config: Config;
  readonly job: Job;
  /** The vectors that the ranks exchange, and those that they have in common. */
  readonly vectors: Omit<ExchangeShape, "worldSize" | "wire">;
  /** Bytes of an exchanged vector that hold gradients, at its beginning. */
  readonly gradientBytes: number;
  /** The nats-server program; not needed with `nats.url`. */
  readonly natsServer?: string;
  readonly reporter: Reporter;
  /** Ends the wait for workers. */
  readonly signal?: AbortSignal;
  /** Memory in which the workers share decoded images. */
  readonly cache?: SegmentAddress;
}

/** The coordinator's end of the all-reduce, and what another one is opened with. */
interface ClusterExchange {
  readonly link: Link;
  readonly dtype: GradientDtype;
  readonly segment: ExchangeSegment | undefined;
  reducer: Reducer;
  /** A rank and what it last did, for messages. */
  readonly describe: (rank: number) => string | undefined;
}

/** Milliseconds that workers get to answer, and then to leave by themselves. */
const LEAVE_MS = 700;

/** The workers of a run, joined and ready for commands. */
export class Cluster implements AsyncDisposable {
  readonly workers: readonly JoinedWorker[];
  /** Fires when a worker or the broker is lost. */
  readonly lost: AbortSignal;
  readonly #exchange: ClusterExchange;
  readonly #commands: CommandClient;
  readonly #stack: AsyncDisposableStack;
  readonly #monitor: HeartbeatMonitor;
  readonly #reporter: Reporter;
  #call: Promise<unknown> = Promise.resolve();

  private constructor(parts: {
    workers: readonly JoinedWorker[];
    exchange: ClusterExchange;
    commands: CommandClient;
    monitor: HeartbeatMonitor;
    reporter: Reporter;
    lost: AbortSignal;
    stack: AsyncDisposableStack;
  }) {
    this.workers = parts.workers;
    this.#exchange = parts.exchange;
    this.lost = parts.lost;
    this.#commands = parts.commands;
    this.#monitor = parts.monitor;
    this.#reporter = parts.reporter;
    this.#stack = parts.stack;
  }

  /**
   * Starts the broker and the workers, and waits until all have joined. When something fails, nothing stays
   * behind.
   *
   * @throws {LockstepError} when the server doesn't answer, or a worker doesn't join
   * @throws the signal's reason when it fires
   */
  static async assemble(options: ClusterOptions): Promise<Cluster> {
    await using stack = new AsyncDisposableStack();
    const { config, reporter, signal } = options;
    const run = makeRunIdentity(config.name);
    const brokerLost = new AbortController();
    const address = await openBroker(options, stack, brokerLost);
    const link = await Link.open(address, run, "coordinator");
    stack.defer(() => link.close());
    link.onNotice((message) => reporter.warn(message));
    tellOfRefusals(link, (message) => reporter.warn(message));
    const transfers = await BlobTransfers.open(link, "coordinator");
    stack.defer(() => transfers.close());
    const worldSize = config.workers;
    const dtype = config.nats.gradientDtype;
    const wire = { dtype, gradientBytes: options.gradientBytes };
    const shape = { worldSize, ...options.vectors, wire };
    // Workers share this machine: each is started here.
    const segment = makeSegment(config.exchange, shape, (reason) => reporter.warn(reason));
    if (segment) stack.use(segment);
    const commands = await CommandClient.open(link, transfers, worldSize);
    stack.defer(() => commands.close());

    const { joinTimeout, lostAfter } = config.liveness;
    const spawned: WorkerGroup["workers"][number][] = [];
    const rendezvous = await Rendezvous.open(link, {
      worldSize,
      joinTimeout,
      spawned,
      onRefused: (reason) => reporter.warn(reason),
    });
    stack.defer(() => rendezvous.close());
    signal?.throwIfAborted();
    const group = spawnWorkers({
      count: worldSize,
      run,
      nats: address,
      threads: threadsPerWorker(config),
      lostAfter,
      segments: [segment, options.cache].filter((each) => each !== undefined),
      onLine: (rank, line) => reporter.workerLine(rank, line),
    });
    stack.defer(() => group.stop(LEAVE_MS));
    spawned.push(...group.workers);
    let exchange: ClusterExchange | undefined;
    const known: { monitor?: HeartbeatMonitor } = {};
    const describe = (rank: number) => known.monitor?.describe(rank);
    const workers = await rendezvous.gather(async (joined) => {
      const shared = agreeOnMemory(options, segment, joined);
      const reducer = await openReducer(link, shape, shared.segment, describe);
      exchange = { link, dtype, segment: shared.segment, reducer, describe };
      const job = { ...options.job, ...shared } as unknown as Json;
      const { value, jsonBytes, payload } = packJson(job, undefined, link.maxPayloadBytes);
      const welcome = { config: value, configBytes: jsonBytes };
      return payload ? { ...welcome, payload: transfers.offer(payload).transfer } : welcome;
    }, AbortSignal.any([link.failed, ...(signal ? [signal] : [])]));
    const { reducer } = exchange!;
    stack.defer(() => reducer.close());
    const monitor = known.monitor = await HeartbeatMonitor.open(link, address, run, {
      workers,
      spawned,
      lostAfter,
      joinTimeout,
      onStraggler: (message) => reporter.warn(message),
    });
    const lost = AbortSignal.any([monitor.signal, brokerLost.signal, link.failed]);
    return new Cluster({
      workers,
      exchange: exchange!,
      commands,
      monitor,
      reporter,
      lost,
      stack: stack.move(),
    });
  }

  /** The nats-server that the run talks through. */
  get server(): ServerFacts {
    return this.#exchange.link.facts;
  }

  /** The coordinator's end of the all-reduce. */
  get reducer(): Reducer {
    return this.#exchange.reducer;
  }

  /**
   * Makes the coordinator's end ready for vectors of another length, at most as long as the first ones, that hold
   * nothing but gradients; no step may be running, and the workers have to open their ends anew.
   */
  async changeVector(vectorBytes: number): Promise<void> {
    const { link, dtype, segment, reducer, describe } = this.#exchange;
    await reducer.close();
    const wire = { dtype, gradientBytes: vectorBytes };
    const shape = { worldSize: this.workers.length, vectorBytes, regions: 1, wire };
    this.#exchange.reducer = await openReducer(link, shape, segment, describe);
  }

  /** Takes note of the step that all ranks are in, for messages. */
  inStep(step: StepKey): void {
    this.#monitor.inStep(step);
  }

  /** Takes note that all ranks validate, for messages. */
  inValidation(epoch: number): void {
    this.#monitor.inValidation(epoch);
  }

  /** Steps that the workers have begun in what they are doing, as their last heartbeats say. */
  stepsBegun(command: string): number[] {
    return this.workers.map(({ rank }) => {
      const heartbeat = this.#monitor.lastHeartbeat(rank);
      return heartbeat?.activity === command ? heartbeat.step : 0;
    });
  }

  /** Messages that coordinator and workers didn't accept so far. */
  refused(): RefusedMessages {
    const signs = this.#monitor.heartbeats();
    const workers = signs.reduce((sum, { refused = 0 }) => sum + refused, 0);
    return { ...this.#exchange.link.refused, workers };
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
    { payload, signal }: { payload?: Uint8Array; signal?: AbortSignal } = {},
  ): Promise<Reply[]> {
    const signals = signal ? AbortSignal.any([this.lost, signal]) : this.lost;
    const call = this.#commands.callAll(name, args, {
      signal: signals,
      ...(payload ? { payload } : {}),
    });
    this.#call = call.catch(() => {}); // the caller sees the failure
    return await call;
  }

  /** Ends the workers, orderly where they still listen, and everything else. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#monitor.close();
    const refusals = describeRefusals(this.refused());
    if (refusals) this.#reporter.warn(refusals);
    if (!this.lost.aborted) await this.#sayStop();
    await this.#stack.disposeAsync();
  }

  async #sayStop(): Promise<void> {
    await waitAtMost(LEAVE_MS, this.#call);
    const timeout = AbortSignal.timeout(LEAVE_MS);
    // A worker that is busy or has failed doesn't answer: it is ended by signals.
    await this.#commands.callAll(COMMANDS.stop, null, { signal: timeout }).catch(() => {});
  }
}

/** The memory that the workers share, as far as each of them has tried it with success. */
function agreeOnMemory(
  { config, reporter, cache }: ClusterOptions,
  segment: SharedSegment | undefined,
  workers: readonly JoinedWorker[],
): Pick<Job, "segment" | "cache"> {
  const problems = workers.map(({ segmentProblem }) => segmentProblem);
  const usable = problems.every((problem) => problem === null);
  if (cache && !usable) {
    reporter.warn("data.cache can't be shared by these workers: each keeps its own share of it");
  }
  const place = ({ path, bytes }: ExchangeSegment) => ({ path, bytes });
  const shared = usable && cache ? { cache: place(cache) } : {};
  const warn = (reason: string) => reporter.warn(reason);
  if (!segment || !agreeOnSegment(config.exchange, problems, warn)) return shared;
  const { gradientDtype } = config.nats;
  if (gradientDtype !== "float32") {
    reporter.warn(
      `nats.gradientDtype is ${gradientDtype}, but gradients go through shared memory as float32: ` +
        "set exchange to nats to send them as it says",
    );
  }
  return { ...shared, segment: place(segment) };
}

/** The server that was asked for, or one of our own. */
async function openBroker(
  { config, natsServer, reporter }: ClusterOptions,
  stack: AsyncDisposableStack,
  lost: AbortController,
): Promise<NatsAddress> {
  const { url: foreign, ca } = config.nats;
  if (foreign) return await serverAddress({ url: foreign, ca });
  if (!natsServer) throw new TypeError("Neither nats.url nor a nats-server program is given");
  const executable = natsServer;
  let broker: Broker = await startBroker({
    executable,
    ...(config.nats.port === undefined ? {} : { port: config.nats.port }),
  });
  const { url, token } = broker;
  let expected = false;
  let restart = Promise.resolve();
  stack.defer(async () => {
    expected = true;
    await restart;
    await broker.stop();
  });
  const watch = async () => {
    const exit = await broker.exited;
    if (expected) return;
    // The server takes SIGTERM for an order of its own. When all processes got it (Slurm, systemd), the run still
    // needs it, for the last checkpoint.
    if (exit.code === 0) {
      const port = Number(new URL(url).port);
      restart = startBroker({ executable, port, token }).then((next) => void (broker = next));
      if (await restart.then(() => true, () => false)) return void watch();
      restart = Promise.resolve();
    }
    const message = `nats-server (pid ${broker.pid}) ${
      describeExit(exit)
    }: the run can't go on without it`;
    reporter.warn(message);
    lost.abort(new LockstepError(message));
  };
  void watch();
  return { url, token };
}

/** The rank that a failure is about, where it is about one. */
export function failedRank(error: unknown): number | undefined {
  const isOfRank = error instanceof WorkerLostError || error instanceof WorkerFailedError;
  return isOfRank ? error.rank : undefined;
}

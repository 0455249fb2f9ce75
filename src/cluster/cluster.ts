/**
 * Broker, workers and channels of a run: gives commands to the workers, and goes on when some are lost.
 *
 * @module
 */
import { anySignal, delay, waitAtMost } from "../base/async.ts";
import { deviceName } from "../base/compute_device.ts";
import { InterruptedError, messageOf } from "../base/errors.ts";
import { itemAt } from "../base/item_at.ts";
import type { StepKey } from "../base/step_key.ts";
import type { LostWorker } from "../events/run_events.ts";
import type { Reducer } from "../exchange/gradient_exchange.ts";
import { HangWatch } from "../exchange/hang_watch.ts";
import type { ServerFacts } from "../protocol/check_server.ts";
import { type Reply, WorkerFailedError } from "../protocol/command_channel.ts";
import type { Json } from "../protocol/large_json.ts";
import type { SkippedFacts } from "../protocol/skipped_samples.ts";
import { WORKER_COMMANDS } from "../protocol/worker_commands.ts";
import { assembleCluster, type ClusterOptions, type ClusterParts, LEAVE_MS } from "./assembly.ts";
import type { CoordinatorExchange, ExchangeOptions } from "./coordinator_exchange.ts";
import { Generations } from "./generations.ts";
import type { WorkerHeartbeat } from "./heartbeat_monitor.ts";
import { WorkerLostError } from "./lost_worker.ts";
import { AllWorkersLostError, blameFor, type BookedSteps } from "./recover.ts";
import { describeRefusals, type RefusedMessages } from "./refused_messages.ts";
import type { JoinedWorker } from "./rendezvous.ts";

/** A cluster whose ranks exchange vectors. */
export type ExchangingCluster = Cluster & { readonly exchange: CoordinatorExchange };

/** Milliseconds from the first loss within which others count as one with it. */
const SETTLE_MS = 100;

/** Milliseconds between two looks at the ranks' steps. */
const LOOK_MS = 250;

/** The workers of a run, joined and ready for commands. */
export class Cluster implements AsyncDisposable {
  readonly #parts: ClusterParts;
  readonly #generations: Generations;
  readonly #hangs: HangWatch;
  #call: Promise<unknown> = Promise.resolve();

  private constructor(parts: ClusterParts) {
    this.#parts = parts;
    const { losses, workers, options: { liveness } } = parts;
    this.#generations = new Generations({
      ...parts,
      call: (name, args, options) => this.callAll(name, args, options),
      nextLoss: () => losses.signal,
    }, workers);
    this.#hangs = new HangWatch(1000 * liveness.reportAfter);
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
    return new Cluster(await assembleCluster(options));
  }

  /** The samples that the ranks leave out of their batches, and their reports about steps that are not finite. */
  get skipped(): Pick<SkippedFacts, "take" | "nonFinite"> {
    return this.#parts.channels.skipped;
  }

  /** The workers of the present generation, in the order of their ranks. */
  get workers(): readonly JoinedWorker[] {
    return this.#generations.workers;
  }

  /** Fires, with the error to report, when a worker or the server is lost; another one after a recovery. */
  get lost(): AbortSignal {
    return AbortSignal.any([this.#parts.failed, this.#parts.losses.signal]);
  }

  /** The coordinator's end of the exchange, of this generation; `undefined` for ranks without an exchange. */
  get exchange(): CoordinatorExchange | undefined {
    return this.#parts.held.exchange;
  }

  /** The nats-server that the run talks through. */
  get server(): ServerFacts {
    return this.#parts.channels.link.facts;
  }

  /** Records the step that all ranks are in, for messages. */
  inStep(step: StepKey): void {
    this.#parts.monitor.inStep(step);
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
      const ranks = this.#parts.monitor.steppingRanks().map((rank) => ({
        ...rank,
        ...places?.[rank.rank],
      }));
      const { monitor, channels } = this.#parts;
      const isUnheard = channels.link.serverGone || monitor.isUnheard; // such time doesn't count
      const isOver = this.#parts.losses.signal.aborted || this.#parts.failed.aborted;
      if (ranks.length < this.workers.length || isOver || isUnheard) return;
      const report = this.#hangs.look(ranks, performance.now());
      if (!report) return;
      reducer.reported?.();
      this.#parts.options.reporter.warn(report);
    }, LOOK_MS);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  /** Records that all ranks validate, for messages. */
  inValidation(epoch: number): void {
    this.#parts.monitor.inValidation(epoch);
  }

  /** Steps that the workers have begun in their current command, according to their last heartbeats. */
  stepsBegun(command: string): number[] {
    return this.workers.map(({ rank }) => {
      const heartbeat = this.#parts.monitor.lastHeartbeat(rank);
      return heartbeat?.activity === command ? heartbeat.step : 0;
    });
  }

  /** Messages that coordinator and workers have refused so far. */
  refused(): RefusedMessages {
    const signs = this.#parts.monitor.heartbeats();
    const workers = signs.reduce((sum, { refused = 0 }) => sum + refused, 0);
    return { ...this.#parts.channels.link.refused, workers };
  }

  /** Returns the last heartbeats of the workers. */
  heartbeats(): WorkerHeartbeat[] {
    return this.#parts.monitor.heartbeats();
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
    { payload, ranks, signal }: {
      payload?: Uint8Array;
      ranks?: readonly number[] | undefined;
      signal?: AbortSignal | undefined;
    } = {},
  ): Promise<Reply[]> {
    if (name !== WORKER_COMMANDS.validate) this.#parts.monitor.inValidation(undefined);
    const call = this.#parts.channels.commands.callAll(name, args, {
      signal: anySignal(this.lost, signal),
      ...(payload ? { payload } : {}),
      ...(ranks ? { ranks } : {}),
    });
    this.#call = call.catch(() => {}); // the caller sees the failure
    return await call;
  }

  /** As of `Generations`. */
  async openExchange(signal?: AbortSignal): Promise<Reply[]> {
    return await this.#generations.openExchange(signal);
  }

  /**
   * Goes on after a failure: replaces the workers that are lost, or leaves them out, in a new generation of ranks. All
   * ranks have the state of the same step then.
   *
   * @param cause The failure
   * @param options.booked Returns the steps of the epoch that the coordinator has the results of, where the ranks were
   *   training; called when they have paused
   * @returns Steps of the epoch that the ranks hold, where they were training
   * @throws the cause, where no recovery helps or none is wanted
   * @throws {AllWorkersLostError} when no worker is left that has the state
   */
  async recover(
    cause: unknown,
    { booked, signal }: { booked?: () => Promise<BookedSteps>; signal?: AbortSignal | undefined } =
      {},
  ): Promise<number | undefined> {
    const { recovery } = this.#parts.options;
    if (!recovery || recovery.policy === "fail" || !this.#mayRecover(cause, signal)) throw cause;
    const { policy, budget } = recovery;
    const begun = performance.now();
    const during = this.#parts.monitor.isValidating
      ? "validation"
      : booked === undefined
      ? "saving"
      : "training";
    const ranks = new Set<number>();
    /** Those of them without a worker that has the state. */
    const missing = new Set<number>();
    for (;;) {
      await delay(SETTLE_MS, signal); // others may be lost by the same cause
      const lost = this.#lostWorkers(cause);
      for (const { rank } of lost) {
        ranks.add(rank);
        missing.add(rank);
      }
      const { place } = this.#parts.monitor;
      if (lost.length > 0) {
        recovery.onLost({ generation: this.#generations.number, during, place, workers: lost });
      }
      const areAllLost = missing.size === this.workers.length; // all are started again then
      if (policy === "restart" || lost.length === 0 || areAllLost) {
        const reasons = lost.length > 0 ? lost.map(({ reason }) => reason) : [messageOf(cause)];
        budget.take({ reasons, place });
      }
      try {
        const steps = await this.#generations.regroup(missing, policy, { booked, signal });
        recovery.onRecovered({
          generation: this.#generations.number,
          policy,
          steps,
          ranks: [...ranks].sort((a, b) => a - b),
          workers: this.workers.length,
          restarts: budget.taken,
          seconds: (performance.now() - begun) / 1000,
          ...(ranks.size === 0 ? { exchangeFailure: messageOf(cause) } : {}),
        });
        return steps;
      } catch (error) {
        if (!this.#mayRecover(error, signal)) throw this.#parts.failed.reason ?? error;
        cause = error;
      }
    }
  }

  /** Tells whether a failure is one of workers, and nothing else has failed. */
  #mayRecover(cause: unknown, signal: AbortSignal | undefined): boolean {
    if (this.#parts.failed.aborted || signal?.aborted) return false;
    const blame = blameFor(cause);
    return blame !== undefined && blame !== "input";
  }

  /**
   * The workers that are lost by now.
   *
   * @throws the error of one that ended because of what the user gave
   */
  #lostWorkers(cause: unknown): LostWorker[] {
    const errors: (WorkerLostError | WorkerFailedError)[] = this.#parts.losses.take();
    const input = errors.find((error) => blameFor(error) === "input");
    if (input) throw input;
    if (cause instanceof WorkerFailedError && cause.blame === "process") errors.push(cause);
    if (cause instanceof WorkerLostError && !errors.includes(cause)) errors.push(cause);
    const seen = new Map(errors.toReversed().map((error) => [error.rank, error]));
    return [...seen].sort(([a], [b]) => a - b).map(([rank, error]) => {
      const worker = itemAt(this.workers, rank);
      const { pid } = error instanceof WorkerLostError ? error : worker; // a worker that came later has another
      const device = this.#generations.deviceOf(rank);
      return {
        ...{ rank, pid, host: worker.host, reason: error.message },
        ...(device && device.kind !== "cpu" ? { device: deviceName(device) } : {}),
      };
    });
  }

  /** Notes why the cluster will end: other hosts are told, and join anew where the run starts again. */
  noteFailure(error: unknown): void {
    if (error instanceof InterruptedError) return; // in order
    this.#parts.network?.noteFailure(error, error instanceof AllWorkersLostError);
  }

  /** Ends all workers, with a shutdown message where possible, and every other part of the cluster. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#parts.monitor.close();
    const refusals = describeRefusals(this.refused());
    if (refusals) this.#parts.options.reporter.warn(refusals);
    if (!this.lost.aborted) await this.#sayStop();
    await this.#parts.stack.disposeAsync();
  }

  async #sayStop(): Promise<void> {
    await waitAtMost(LEAVE_MS, this.#call);
    const signal = AbortSignal.timeout(LEAVE_MS);
    // A worker that is busy or has failed doesn't answer; signals end it.
    await this.#parts.channels.commands.callAll(WORKER_COMMANDS.stop, null, { signal }).catch(
      () => {},
    );
  }
}

/** The rank that a failure concerns, if it concerns one. */
export function failedRank(error: unknown): number | undefined {
  const isOfRank = error instanceof WorkerLostError || error instanceof WorkerFailedError;
  return isOfRank ? error.rank : undefined;
}

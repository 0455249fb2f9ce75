/**
 * Detects lost workers by their heartbeats, and by the exit of the processes that this machine started.
 *
 * @module
 */
import type { Subscription } from "../deps/nats.ts";
import type { NatsAddress } from "../protocol/address.ts";
import { onDevice } from "../base/compute_device.ts";
import type { LockstepError } from "../base/errors.ts";
import type { WatchedRank } from "../exchange/hang_watch.ts";
import { HeartbeatSender } from "../protocol/heartbeat_sender.ts";
import type { Link } from "../protocol/link.ts";
import type { Fields } from "../protocol/messages.ts";
import { DEFAULT_RECONNECT_TIMEOUT, ServerGoneError } from "../protocol/server_loss.ts";
import { ServerWatch } from "../protocol/server_watch.ts";
import { SilenceTimer } from "../protocol/silence_timer.ts";
import type { RunIdentity } from "../protocol/subjects.ts";
import { compareSteps, type StepKey } from "../base/step_key.ts";
import { WORKER_COMMANDS } from "../protocol/worker_commands.ts";
import { explainExit, withLastLines, WorkerLostError } from "./lost_worker.ts";
import type { JoinedWorker } from "./rendezvous.ts";
import type { SpawnedWorker, WorkerExit } from "../hosts/spawn.ts";
import { describeProgress, StallWatch } from "./stall_watch.ts";

/** Settings of the monitor. */
export interface HeartbeatMonitorOptions {
  readonly workers: readonly JoinedWorker[];
  readonly spawned: readonly SpawnedWorker[];
  /** Seconds without a heartbeat after which a worker counts as lost. */
  readonly lostAfter: number;
  /** The same limit for a worker that has joined and not sent its first heartbeat yet. */
  readonly joinTimeout: number;
  /** Seconds for which a server that stands still is waited for (30 unless given). */
  readonly reconnectTimeout?: number | undefined;
  /** Replaces a server that has stood still for `lostAfter`, where it can be. */
  readonly replaceServer?: (() => void) | undefined;
  /** Seconds without progress after which a worker counts as lost that has work of its own to do. */
  readonly stallAfter: number;
  /** Called once for each worker that is lost. */
  readonly onLost: (error: WorkerLostError) => void;
  /**
   * Called once: with a {@linkcode ServerGoneError} when the server stands still for too long, or when it refuses the
   * heartbeats.
   */
  readonly onServerLost: (error: LockstepError) => void;
  /**
   * Called once when a worker has been silent for 5 s, and again if it falls silent after a further heartbeat.
   * Before its first heartbeat the limit is 15 s, since many workers that start at once keep the machine busy.
   */
  readonly onStraggler?: (message: string) => void;
}

/** Milliseconds of a rank's silence after which the server is pinged. */
const ASK_SERVER_MS = 3_000;
const STRAGGLER_MS = 5_000;
const STRAGGLER_AT_START_MS = 15_000;

/** A worker's last heartbeat, and its age. */
export interface WorkerHeartbeat extends Fields<"heartbeat"> {
  readonly rank: number;
  readonly pid: number;
  readonly host: string;
  /** Milliseconds since the heartbeat arrived. */
  readonly silentMs: number;
}

/** The monitor's state of one worker. */
interface Watched extends JoinedWorker {
  readonly watch: SilenceTimer;
  readonly stall: StallWatch;
  last?: Fields<"heartbeat">;
  warned: boolean;
  /** True while no heartbeat could arrive, since the server stands still. */
  unheard: boolean;
  isLost: boolean;
}

/** Monitors the workers of a run until it is closed. */
export class HeartbeatMonitor {
  readonly #link: Link;
  readonly #options: HeartbeatMonitorOptions;
  readonly #subscription: Subscription;
  #watched: readonly Watched[] = [];
  readonly #sender: HeartbeatSender;
  #closed = false;
  readonly #server: ServerWatch;
  #serverWarned = false;
  #isServerLost = false;
  #step: StepKey | undefined;
  /** Epoch of the validation in progress. */
  #validating: number | undefined;

  private constructor(
    link: Link,
    address: NatsAddress,
    run: RunIdentity,
    options: HeartbeatMonitorOptions,
  ) {
    this.#link = link;
    this.#options = options;
    this.#server = new ServerWatch(link);
    this.#subscription = link.subscribe(link.subjects.workerHeartbeat("*"), {
      heartbeat: ({ header }) => this.#onHeartbeat(header.from, header),
    });
    this.watch(options.workers, options.spawned);
    this.#sender = new HeartbeatSender({
      address,
      run,
      from: "coordinator",
      subject: link.subjects.coordinatorHeartbeat,
    });
    const { failed } = this.#sender;
    failed.addEventListener("abort", () => this.#reportServer(failed.reason));
  }

  /** Starts the monitor and the coordinator's own heartbeats. */
  static async open(
    link: Link,
    address: NatsAddress,
    run: RunIdentity,
    options: HeartbeatMonitorOptions,
  ): Promise<HeartbeatMonitor> {
    const monitor = new HeartbeatMonitor(link, address, run, options);
    await link.flush();
    return monitor;
  }

  /**
   * Watches these workers from now on; what is known of those that were watched before stays.
   *
   * @param spawned Those of them that this process has started
   */
  watch(workers: readonly JoinedWorker[], spawned: readonly SpawnedWorker[]): void {
    const before = this.#watched;
    this.#watched = workers.map((worker) => {
      const known = before.find(({ id, isLost }) => id === worker.id && !isLost);
      return known ? Object.assign(known, worker) : this.#newlyWatched(worker);
    });
    for (const watched of before) {
      if (!this.#watched.includes(watched)) watched.watch.stop();
    }
    for (const worker of spawned) {
      if (before.some(({ id }) => id === worker.id)) continue;
      void worker.exited.then((exit) => this.#onExit(worker, exit));
    }
  }

  /** Reports nothing more about these workers: they are known to be lost, and are ended. */
  forget(ids: readonly string[]): void {
    for (const watched of this.#watched) {
      if (!ids.includes(watched.id)) continue;
      watched.isLost = true;
      watched.watch.stop();
    }
  }

  #newlyWatched(worker: JoinedWorker): Watched {
    const watched: Watched = {
      ...worker,
      warned: false,
      unheard: false,
      isLost: false,
      stall: new StallWatch(),
      watch: new SilenceTimer((silentMs) => this.#onSilence(watched, silentMs)),
    };
    return watched;
  }

  /** Returns a worker's last heartbeat. */
  lastHeartbeat(rank: number): Fields<"heartbeat"> | undefined {
    return this.#watched[rank]?.last;
  }

  /** Records the step that all ranks are in. */
  inStep(step: StepKey): void {
    this.#step = step;
    this.#validating = undefined;
  }

  /** True while all ranks validate. */
  get isValidating(): boolean {
    return this.#validating !== undefined;
  }

  /** The step that all ranks are in, or were in last. */
  get place(): StepKey | undefined {
    return this.#step;
  }

  /** Records that all ranks validate, or no longer do. */
  inValidation(epoch: number | undefined): void {
    this.#validating = epoch;
  }

  /** Describes a rank's last activity in a sentence; returns nothing before its first heartbeat. */
  describe(rank: number): string | undefined {
    const watched = this.#watched[rank];
    return watched?.last && `${nameOf(watched)} is ${describeProgress(watched.last)}`;
  }

  /** The last heartbeat of each worker that has sent one. */
  heartbeats(): WorkerHeartbeat[] {
    return this.#watched.flatMap(({ rank, pid, host, last, watch }) =>
      last ? [{ ...last, rank, pid, host, silentMs: watch.silentMs }] : []
    );
  }

  /** The ranks as their last heartbeats show them, of all that have sent one. */
  steppingRanks(): WatchedRank[] {
    return this.#watched.flatMap(({ last, watch, ...worker }) =>
      last
        ? [{
          rank: worker.rank,
          name: nameOf(worker),
          epoch: last.epoch,
          step: last.step,
          phase: last.phase,
          sample: last.sample,
          silentMs: watch.silentMs,
        }]
        : []
    );
  }

  /** True while heartbeats can't arrive, since the server stands still. */
  get isUnheard(): boolean {
    return this.#watched.some(({ unheard }) => unheard);
  }

  /** Stops the monitor: call this before the workers are asked to exit. */
  close(): void {
    this.#closed = true;
    this.#subscription.unsubscribe();
    this.#sender.stop();
    for (const { watch } of this.#watched) watch.stop();
  }

  #onHeartbeat(
    from: string,
    { epoch, step, phase, sample, activity, residentBytes, refused }: Fields<"heartbeat">,
  ): void {
    const watched = this.#watched.find(({ rank }) => from === `rank ${rank}`);
    if (!watched) return;
    watched.watch.heard();
    watched.warned = false;
    this.#server.heard();
    this.#serverWarned = false;
    watched.last = { epoch, step, phase, sample, activity, residentBytes, refused };
    const stall = watched.stall.heard(watched.last, performance.now());
    if (this.#closed) return;
    if (stall) this.#options.onStraggler?.(`${nameOf(watched)} ${stall}`);
    const { stallAfter } = this.#options;
    if (!watched.stall.isStuck(1000 * stallAfter)) return;
    this.#report(
      watched,
      `${nameOf(watched)} has made no progress for ${stallAfter} s or more: it is ${
        describeProgress(watched.last)
      }, and counts as lost (liveness.stallAfter)`,
    );
  }

  #onSilence(watched: Watched, silentMs: number): void {
    if (this.#closed) return;
    // No heartbeat can arrive then; the link fails when the server is gone for too long.
    if (this.#link.serverGone) return watched.watch.excuse();
    const answered = silentMs < ASK_SERVER_MS || this.#server.ask();
    if (answered === undefined) return;
    const wasUnheard = watched.unheard;
    watched.unheard = !answered;
    if (!answered) return this.#onServerStill(silentMs);
    if (wasUnheard) return watched.watch.excuse();
    const who = nameOf(watched);
    const { lostAfter, joinTimeout } = this.#options;
    const { everHeard } = watched.watch;
    const limit = everHeard ? lostAfter : Math.max(lostAfter, joinTimeout);
    const stragglerMs = everHeard ? STRAGGLER_MS : STRAGGLER_AT_START_MS;
    if (silentMs >= 1000 * limit) {
      this.#report(
        watched,
        `${who} has sent no heartbeat for ${Math.round(silentMs / 1000)} s ` +
          `${this.#placeOf(watched)}: it counts as lost`,
      );
    } else if (silentMs >= stragglerMs && !watched.warned) {
      watched.warned = true;
      this.#options.onStraggler?.(
        `${who} has sent no heartbeat for ${stragglerMs / 1000} s ${this.#placeOf(watched)}`,
      );
    }
  }

  /** Handles a connected server that doesn't answer: no heartbeat could arrive through it. */
  #onServerStill(silentMs: number): void {
    const { lostAfter, reconnectTimeout = DEFAULT_RECONNECT_TIMEOUT, replaceServer } =
      this.#options;
    const { server } = this.#link;
    if (silentMs >= STRAGGLER_MS && !this.#serverWarned) {
      this.#serverWarned = true;
      this.#options.onStraggler?.(
        `The nats-server at ${server} doesn't answer: it stands still, or its machine is overloaded`,
      );
    }
    if (silentMs >= 1000 * lostAfter) replaceServer?.();
    if (silentMs < 1000 * Math.max(lostAfter, reconnectTimeout)) return;
    this.#reportServer(new ServerGoneError(server, "has stood still", silentMs / 1000));
  }

  #onExit(worker: SpawnedWorker, exit: WorkerExit): void {
    const watched = this.#watched.find(({ id }) => id === worker.id);
    if (this.#closed || !watched) return;
    const message = `Rank ${watched.rank} (pid ${worker.pid})${onDevice(worker.device)} ${
      explainExit(exit, worker.lastLines)
    } ${this.#placeOf(watched)}`;
    // The last lines of a process that was killed from outside don't explain its end.
    this.#report(watched, withLastLines(message, exit.signal ? [] : worker.lastLines), exit);
  }

  #report(watched: Watched, message: string, exit?: WorkerExit): void {
    if (watched.isLost) return;
    watched.isLost = true;
    const { rank, pid } = watched;
    const place = this.#latestPlace(watched);
    this.#options.onLost(new WorkerLostError(message, { rank, pid, exit, place }));
  }

  #reportServer(error: LockstepError): void {
    if (this.#isServerLost) return;
    this.#isServerLost = true;
    this.#options.onServerLost(error);
  }

  /** The later of the position in the rank's last heartbeat and the step that all ranks are in. */
  #latestPlace({ last }: Watched): StepKey | undefined {
    const step = this.#step;
    if (!step || (last && compareSteps(last, step) > 0)) return last;
    return step;
  }

  #placeOf(watched: Watched): string {
    const { last } = watched;
    if (this.#validating !== undefined) {
      const batch = last?.activity === WORKER_COMMANDS.validate ? `, batch ${last.step}` : "";
      return `in the validation in epoch ${this.#validating}${batch}`;
    }
    const place = this.#latestPlace(watched);
    return place ? `in epoch ${place.epoch}, step ${place.step}` : "before its first step";
  }
}

function nameOf({ rank, pid, host }: Pick<JoinedWorker, "rank" | "pid" | "host">): string {
  return `Rank ${rank} (pid ${pid} on ${host})`;
}

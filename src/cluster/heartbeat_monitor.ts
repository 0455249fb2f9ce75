/**
 * Detects lost workers by their heartbeats, and by the exit of the processes that this machine started.
 *
 * @module
 */
import type { Subscription } from "../deps/nats.ts";
import type { NatsAddress } from "../protocol/address.ts";
import { onDevice } from "../base/compute_device.ts";
import { LockstepError } from "../base/errors.ts";
import type { WatchedRank } from "../exchange/hang_watch.ts";
import { HeartbeatSender } from "../protocol/heartbeat_sender.ts";
import type { Link } from "../protocol/link.ts";
import type { Fields } from "../protocol/messages.ts";
import { ServerWatch } from "../protocol/server_watch.ts";
import { SilenceTimer } from "../protocol/silence_timer.ts";
import type { RunIdentity } from "../protocol/subjects.ts";
import { compareSteps, type StepKey } from "../base/step_key.ts";
import { WORKER_COMMANDS } from "../protocol/worker_commands.ts";
import { explainExit, withLastLines, WorkerLostError } from "./lost_worker.ts";
import type { JoinedWorker } from "./rendezvous.ts";
import type { SpawnedWorker, WorkerExit } from "./spawn.ts";
import { describeProgress, StallWatch } from "./stall_watch.ts";

/** Settings of the monitor. */
export interface HeartbeatMonitorOptions {
  readonly workers: readonly JoinedWorker[];
  readonly spawned: readonly SpawnedWorker[];
  /** Seconds without a heartbeat after which a worker counts as lost. */
  readonly lostAfter: number;
  /** The same limit for a worker that has joined and not sent its first heartbeat yet. */
  readonly joinTimeout: number;
  /**
   * Aborted once: with a {@linkcode WorkerLostError} when a worker is lost, or with a {@linkcode LockstepError}
   * when the server is lost.
   */
  readonly lost: AbortController;
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
}

/** Monitors the workers of a run until it is closed. */
export class HeartbeatMonitor {
  readonly #link: Link;
  readonly #options: HeartbeatMonitorOptions;
  readonly #subscription: Subscription;
  readonly #watched: Watched[];
  readonly #sender: HeartbeatSender;
  #closed = false;
  readonly #server: ServerWatch;
  #serverWarned = false;
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
    this.#watched = options.workers.map((worker) => {
      const watched: Watched = {
        ...worker,
        warned: false,
        stall: new StallWatch(),
        watch: new SilenceTimer((silentMs) => this.#onSilence(watched, silentMs)),
      };
      return watched;
    });
    this.#subscription = link.subscribe(link.subjects.workerHeartbeat("*"), {
      heartbeat: ({ header }) => this.#onHeartbeat(header.from, header),
    });
    for (const worker of options.spawned) {
      void worker.exited.then((exit) => this.#onExit(worker, exit));
    }
    this.#sender = new HeartbeatSender({
      address,
      run,
      from: "coordinator",
      subject: link.subjects.coordinatorHeartbeat,
    });
    const { failed } = this.#sender;
    failed.addEventListener("abort", () => options.lost.abort(failed.reason));
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

  /** Returns a worker's last heartbeat. */
  lastHeartbeat(rank: number): Fields<"heartbeat"> | undefined {
    return this.#watched[rank]?.last;
  }

  /** Records the step that all ranks are in. */
  inStep(step: StepKey): void {
    this.#step = step;
    this.#validating = undefined;
  }

  /** Records that all ranks validate. */
  inValidation(epoch: number): void {
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
    if (stall && !this.#closed) this.#options.onStraggler?.(`${nameOf(watched)} ${stall}`);
  }

  #onSilence(watched: Watched, silentMs: number): void {
    if (this.#closed) return;
    if (this.#link.serverGone) return this.#onServerGone(silentMs, "has been gone");
    if (silentMs >= ASK_SERVER_MS && this.#server.ask() === false) {
      return this.#onServerStill(silentMs);
    }
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

  /** Handles a lost connection: no heartbeat can arrive, so the workers' silence means nothing. */
  #onServerGone(silentMs: number, what: string): void {
    if (silentMs < 1000 * this.#options.lostAfter || this.#options.lost.signal.aborted) return;
    const seconds = Math.round(silentMs / 1000);
    this.#options.lost.abort(
      new LockstepError(`The nats-server at ${this.#link.server} ${what} for ${seconds} s`),
    );
  }

  /** Handles a connected server that doesn't answer: no heartbeat could arrive through it. */
  #onServerStill(silentMs: number): void {
    if (silentMs >= STRAGGLER_MS && !this.#serverWarned) {
      this.#serverWarned = true;
      this.#options.onStraggler?.(
        `The nats-server at ${this.#link.server} doesn't answer: it stands still, ` +
          "or its machine is overloaded",
      );
    }
    this.#onServerGone(silentMs, "has stood still");
  }

  #onExit(worker: SpawnedWorker, exit: WorkerExit): void {
    const watched = this.#watched[worker.index];
    if (this.#closed || !watched) return;
    const message = `Rank ${worker.index} (pid ${worker.pid})${onDevice(worker.device)} ${
      explainExit(exit, worker.lastLines)
    } ${this.#placeOf(watched)}`;
    // The last lines of a process that was killed from outside don't explain its end.
    this.#report(watched, withLastLines(message, exit.signal ? [] : worker.lastLines), exit);
  }

  #report(watched: Watched, message: string, exit?: WorkerExit): void {
    if (this.#options.lost.signal.aborted) return;
    const { rank, pid } = watched;
    const place = this.#latestPlace(watched);
    this.#options.lost.abort(new WorkerLostError(message, { rank, pid, exit, place }));
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

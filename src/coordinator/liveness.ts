/**
 * Which workers are alive: by their signs of life, and for those started here by their processes.
 *
 * @module
 */
import type { Subscription } from "nats";
import type { NatsAddress } from "../protocol/connection.ts";
import { LockstepError } from "../base/errors.ts";
import { Heart } from "../protocol/heart.ts";
import type { Link } from "../protocol/link.ts";
import type { Fields } from "../protocol/messages.ts";
import { SilenceWatch } from "../protocol/silence.ts";
import type { RunIdentity } from "../protocol/subjects.ts";
import { describeExit, withLastLines, WorkerLostError } from "./lost_worker.ts";
import type { JoinedWorker } from "./rendezvous.ts";
import type { SpawnedWorker, WorkerExit } from "./spawn.ts";

/** Settings of the watch. */
export interface LivenessOptions {
  readonly workers: readonly JoinedWorker[];
  readonly spawned: readonly SpawnedWorker[];
  /** Seconds without a sign of life after which a worker counts as lost. */
  readonly lostAfter: number;
  /** The same for a worker that has joined and not yet shown its first one. */
  readonly joinTimeout: number;
  /**
   * Called once when a worker has been silent for 5 s (15 s where nothing was heard of it yet: many that start at
   * once keep the machine busy), and again after it was heard in between.
   */
  readonly onStraggler?: (message: string) => void;
}

const STRAGGLER_MS = 5_000;
const STRAGGLER_AT_START_MS = 15_000;

/** Where a worker said it was, and how long ago. */
export interface SignOfLife extends Fields<"heartbeat"> {
  readonly rank: number;
  readonly pid: number;
  readonly host: string;
  /** Milliseconds since it was heard. */
  readonly silentMs: number;
}

/** What is known of one worker. */
interface Watched extends JoinedWorker {
  readonly watch: SilenceWatch;
  last?: Fields<"heartbeat">;
  warned: boolean;
}

/** Watches the workers of a run, until it is closed. */
export class Liveness {
  readonly #link: Link;
  readonly #options: LivenessOptions;
  readonly #lost = new AbortController();
  readonly #subscription: Subscription;
  readonly #watched: Watched[];
  readonly #heart: Heart;
  #closed = false;

  private constructor(
    link: Link,
    address: NatsAddress,
    run: RunIdentity,
    options: LivenessOptions,
  ) {
    this.#link = link;
    this.#options = options;
    this.#watched = options.workers.map((worker) => {
      const watched: Watched = {
        ...worker,
        warned: false,
        watch: new SilenceWatch((silentMs) => this.#onSilence(watched, silentMs)),
      };
      return watched;
    });
    this.#subscription = link.subscribe(link.subjects.workerHeartbeat("*"), {
      heartbeat: ({ header }) => this.#onHeartbeat(header.from, header),
    });
    for (const worker of options.spawned) {
      void worker.exited.then((exit) => this.#onExit(worker, exit));
    }
    this.#heart = new Heart({
      address,
      run,
      from: "coordinator",
      subject: link.subjects.coordinatorHeartbeat,
    });
  }

  /** Begins to watch, and to send the coordinator's own signs of life. */
  static async open(
    link: Link,
    address: NatsAddress,
    run: RunIdentity,
    options: LivenessOptions,
  ): Promise<Liveness> {
    const liveness = new Liveness(link, address, run, options);
    await link.flush();
    return liveness;
  }

  /**
   * Fires with a {@linkcode WorkerLostError} as soon as a worker is lost, or with a {@linkcode LockstepError}
   * when the server is.
   */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Where a worker said it was. */
  lastSign(rank: number): Fields<"heartbeat"> | undefined {
    return this.#watched[rank]?.last;
  }

  /** The last sign of life of each worker that gave one. */
  signs(): SignOfLife[] {
    return this.#watched.flatMap(({ rank, pid, host, last, watch }) =>
      last ? [{ ...last, rank, pid, host, silentMs: watch.silentMs }] : []
    );
  }

  /** Stops watching: call it before the workers are told to leave. */
  close(): void {
    this.#closed = true;
    this.#subscription.unsubscribe();
    this.#heart.stop();
    for (const { watch } of this.#watched) watch.stop();
  }

  #onHeartbeat(
    from: string,
    { epoch, step, activity, residentBytes }: Fields<"heartbeat">,
  ): void {
    const watched = this.#watched.find(({ rank }) => from === `rank ${rank}`);
    if (!watched) return;
    watched.watch.heard();
    watched.warned = false;
    watched.last = { epoch, step, activity, residentBytes };
  }

  #onSilence(watched: Watched, silentMs: number): void {
    if (this.#closed) return;
    if (this.#link.serverGone) return this.#onServerGone(silentMs);
    const who = `Rank ${watched.rank} (pid ${watched.pid} on ${watched.host})`;
    const { lostAfter, joinTimeout } = this.#options;
    const { everHeard } = watched.watch;
    const limit = everHeard ? lostAfter : Math.max(lostAfter, joinTimeout);
    const stragglerMs = everHeard ? STRAGGLER_MS : STRAGGLER_AT_START_MS;
    if (silentMs >= 1000 * limit) {
      this.#report(
        watched,
        `${who} has shown no sign of life for ${Math.round(silentMs / 1000)} s ` +
          `${placeOf(watched)}: it counts as lost`,
      );
    } else if (silentMs >= stragglerMs && !watched.warned) {
      watched.warned = true;
      this.#options.onStraggler?.(
        `${who} has shown no sign of life for ${stragglerMs / 1000} s ${placeOf(watched)}`,
      );
    }
  }

  /** Nobody can be heard: that says nothing about the workers. */
  #onServerGone(silentMs: number): void {
    if (silentMs < 1000 * this.#options.lostAfter || this.#lost.signal.aborted) return;
    const seconds = Math.round(silentMs / 1000);
    this.#lost.abort(
      new LockstepError(`The nats-server at ${this.#link.server} has been gone for ${seconds} s`),
    );
  }

  #onExit(worker: SpawnedWorker, exit: WorkerExit): void {
    const watched = this.#watched[worker.index];
    if (this.#closed || !watched) return;
    const message = `Rank ${worker.index} (pid ${worker.pid}) ${describeExit(exit)} ${
      placeOf(watched)
    }`;
    // Of a process killed from outside the last lines say nothing.
    this.#report(watched, withLastLines(message, exit.signal ? [] : worker.lastLines), exit);
  }

  #report(watched: Watched, message: string, exit?: WorkerExit): void {
    if (this.#lost.signal.aborted) return;
    const { rank, pid, last } = watched;
    this.#lost.abort(new WorkerLostError(message, { rank, pid, exit, place: last }));
  }
}

function placeOf({ last }: Watched): string {
  return last ? `in epoch ${last.epoch}, step ${last.step}` : "before its first step";
}

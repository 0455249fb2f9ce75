/**
 * The start of a run: workers ask to join, and receive a rank and their settings.
 *
 * @module
 */
import type { Subscription } from "../deps/nats.ts";
import { onDevice } from "../base/compute_device.ts";
import { LockstepError } from "../base/errors.ts";
import { Pending } from "../base/pending.ts";
import type { Json } from "../protocol/large_json.ts";
import type { Incoming, Link } from "../protocol/link.ts";
import type { Envelope, Fields, Transfer } from "../protocol/messages.ts";
import type { SharedMemory } from "../protocol/worker_settings.ts";
import { explainExit, withLastLines } from "./lost_worker.ts";
import type { SpawnedWorker } from "./spawn.ts";

/** Settings of a rendezvous. */
export interface RendezvousOptions {
  readonly worldSize: number;
  /** Seconds within which the workers must join. */
  readonly joinTimeout: number;
  /** The workers that this coordinator started; may be empty when they are started elsewhere. */
  readonly spawned: readonly SpawnedWorker[];
  /** Called when a process is refused. */
  readonly onRefused?: (reason: string) => void;
}

/** A worker that takes part in the run. */
export interface JoinedWorker extends Pick<Fields<"join">, "pid" | "host" | "segmentProblem"> {
  readonly rank: number;
}

/** The answer that every joining worker receives. */
export interface Welcome extends SharedMemory {
  readonly job: Json;
  /** Bytes at the payload's end that hold the job as JSON; 0 unless given. */
  readonly jobBytes?: number;
  /** Bytes for the worker to pull, such as the initial weights. */
  readonly payload?: Transfer;
}

interface Member extends JoinedWorker {
  readonly instance: string;
}

/**
 * Gathers the workers. A worker's rank is its index among those that this coordinator started. Workers that were
 * started elsewhere get the free ranks in the order of their requests.
 *
 * Stays open during the run: a lost welcome is sent again, and late workers get a refusal that says so.
 */
export class Rendezvous {
  readonly #link: Link;
  readonly #options: RendezvousOptions;
  readonly #members: (Member | undefined)[];
  readonly #subscription: Subscription;
  readonly #complete = new Pending<void>();
  #welcome: Welcome | undefined;

  private constructor(link: Link, options: RendezvousOptions) {
    this.#link = link;
    this.#options = options;
    this.#members = new Array(options.worldSize).fill(undefined);
    this.#subscription = link.subscribe(link.subjects.join, {
      join: (message) => this.#onJoin(message),
    }, {
      onOtherVersion: (envelope, reason, header) => this.#onOtherVersion(envelope, reason, header),
    });
  }

  /** Opens the rendezvous; call this before the workers are started. */
  static async open(link: Link, options: RendezvousOptions): Promise<Rendezvous> {
    const rendezvous = new Rendezvous(link, options);
    await link.flush();
    return rendezvous;
  }

  /**
   * Waits until all workers have asked to join, and welcomes them.
   *
   * @param welcome Makes the message to every worker, called when all have asked
   * @returns The workers in the order of their ranks
   * @throws {LockstepError} When a worker ends before it joins (with its last lines), or doesn't join in time
   * @throws The signal's reason when it fires
   */
  async gather(
    welcome: (workers: readonly JoinedWorker[]) => Welcome | Promise<Welcome>,
    signal?: AbortSignal,
  ): Promise<JoinedWorker[]> {
    signal?.throwIfAborted();
    const { joinTimeout, spawned } = this.#options;
    for (const worker of spawned) {
      worker.exited.then(() => this.#complete.fail(earlyExitError(worker)));
    }
    this.#completeIfAllAreHere();
    const timeout = { ms: 1000 * joinTimeout, makeError: () => this.#absenceError() };
    await this.#complete.result({ signal, timeout });
    const members = this.#members.map((member) => member!);
    const workers = members.map(({ instance: _, ...worker }) => worker);
    this.#welcome = await welcome(workers);
    for (const member of members) this.#sendWelcome(member);
    return workers;
  }

  close(): void {
    this.#subscription.unsubscribe();
  }

  #onJoin({ header }: Incoming<"join">): void {
    const known = this.#members.find((member) => member?.instance === header.instance);
    if (known) return this.#sendWelcome(known); // it asks until it is answered
    const rank = this.#rankFor(header);
    if (typeof rank === "string") return this.#refuse(header.instance, rank);
    const { instance, pid, host, segmentProblem } = header;
    this.#members[rank] = { rank, instance, pid, host, segmentProblem };
    this.#completeIfAllAreHere();
  }

  #rankFor({ index, pid, host }: Fields<"join">): number | string {
    const who = `the worker with pid ${pid} on ${host}`;
    if (index === null) {
      const reserved = this.#options.spawned.length;
      const free = this.#members.findIndex((member, rank) => rank >= reserved && !member);
      return free >= 0
        ? free
        : `This run has its ${this.#members.length} workers: no room for ${who}`;
    }
    if (index >= this.#members.length) {
      return `This run has ${this.#members.length} workers: no rank ${index} for ${who}`;
    }
    const holder = this.#members[index];
    if (!holder) return index;
    return `Rank ${index} is taken by pid ${holder.pid} on ${holder.host}: refused ${who}`;
  }

  #onOtherVersion(_envelope: Envelope, reason: string, header: unknown): void {
    // Messages of another protocol version need only contain an address for the refusal.
    const instance = (header as { instance?: unknown }).instance;
    if (typeof instance === "string" && /^[\w-]{1,80}$/.test(instance)) {
      this.#refuse(instance, capitalize(reason));
    }
  }

  #refuse(instance: string, reason: string): void {
    this.#link.publish(this.#link.subjects.welcome(instance), "refusal", { reason });
    this.#options.onRefused?.(reason);
  }

  #completeIfAllAreHere(): void {
    if (this.#members.every((member) => member !== undefined)) this.#complete.finish();
  }

  #sendWelcome({ instance, rank }: Member): void {
    if (!this.#welcome) return; // comes when all are here
    this.#link.publish(this.#link.subjects.welcome(instance), "welcome", {
      rank,
      worldSize: this.#members.length,
      job: this.#welcome.job,
      jobBytes: this.#welcome.jobBytes ?? 0,
      segment: this.#welcome.segment ?? null,
      cache: this.#welcome.cache ?? null,
      payload: this.#welcome.payload ?? null,
    });
  }

  #absenceError(): LockstepError {
    const { joinTimeout, spawned } = this.#options;
    const absent = this.#members.flatMap((member, rank) => member ? [] : [rank]);
    const here = this.#members.length - absent.length;
    const known = spawned.find(({ index }) => absent.includes(index));
    const message = `Rank ${absent.join(", ")} did not join within ${joinTimeout} s ` +
      `(${here} of ${this.#members.length} workers are here): ` +
      `raise liveness.joinTimeout if this machine is slow`;
    return new LockstepError(withLastLines(message, known?.lastLines ?? []));
  }
}

function earlyExitError(worker: SpawnedWorker): LockstepError {
  const message =
    `Rank ${worker.index} (pid ${worker.pid})${onDevice(worker.device)} ${
      explainExit(worker.exit!, worker.lastLines)
    } ` +
    "before it joined";
  return new LockstepError(withLastLines(message, worker.lastLines));
}

function capitalize(sentence: string): string {
  return sentence[0].toUpperCase() + sentence.slice(1);
}

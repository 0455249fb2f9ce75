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
import { explainExit, withLastLines, WorkerLostError } from "./lost_worker.ts";
import { type SpawnedWorker, workerId } from "../hosts/spawn.ts";

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

/** Makes the message to every worker that joins, called when all are here. */
export type WelcomeMaker = (workers: readonly JoinedWorker[]) => Welcome | Promise<Welcome>;

/** A worker that takes part in the run. */
export interface JoinedWorker extends Pick<Fields<"join">, "pid" | "host" | "segmentProblem"> {
  readonly rank: number;
  /** Number of its machine among the hosts of the run. */
  readonly hostIndex: number;
  /** As of a `SpawnedWorker`. */
  readonly id: string;
}

/** The answer that every joining worker receives. */
export interface Welcome extends SharedMemory {
  readonly job: Json;
  /** Of the ranks, counted from 0 (default 0). */
  readonly generation?: number;
  /** Bytes at the payload's end that hold the job as JSON; 0 unless given. */
  readonly jobBytes?: number;
  /** Bytes for the worker to pull, such as the initial weights. */
  readonly payload?: Transfer;
  /** The job of workers on other hosts than the coordinator's, who have no part in its memory. */
  readonly elsewhere?: Pick<Welcome, "job" | "jobBytes" | "payload">;
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
  readonly #subscription: Subscription;
  #members: (Member | undefined)[];
  /** The processes that take the ranks of lost ones. */
  readonly #expected = new Map<number, string>();
  #complete = new Pending<void>();
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
  async gather(welcome: WelcomeMaker, signal?: AbortSignal): Promise<JoinedWorker[]> {
    return await this.#gather(this.#options.spawned, [], welcome, signal);
  }

  /**
   * Lets new workers take the ranks that are their indices, in the place of those that had them.
   *
   * @param spawned Workers that were started for it
   * @returns All workers in the order of their ranks
   * @throws As {@linkcode gather}
   */
  async replace(
    spawned: readonly SpawnedWorker[],
    welcome: WelcomeMaker,
    signal?: AbortSignal,
  ): Promise<JoinedWorker[]> {
    for (const { index, id } of spawned) {
      this.#members[index] = undefined;
      this.#expected.set(index, id); // not the one before, whose last message may still be on its way
    }
    const staying = [...this.#members];
    this.#complete = new Pending();
    this.#welcome = undefined;
    return await this.#gather(spawned, staying, welcome, signal);
  }

  /** Leaves only some workers, who have the ranks of this order from now on. */
  keep(ranks: readonly number[]): void {
    this.#members = ranks.map((rank) => this.#members[rank]);
  }

  async #gather(
    spawned: readonly SpawnedWorker[],
    staying: readonly (Member | undefined)[],
    welcome: WelcomeMaker,
    signal: AbortSignal | undefined,
  ): Promise<JoinedWorker[]> {
    signal?.throwIfAborted();
    const { joinTimeout } = this.#options;
    const complete = this.#complete;
    for (const worker of spawned) {
      worker.exited.then(() => complete.fail(earlyExitError(worker)));
    }
    this.#completeIfAllAreHere();
    const timeout = { ms: 1000 * joinTimeout, makeError: () => this.#absenceError(spawned) };
    await complete.result({ signal, timeout });
    const members = this.#members.map((member) => member!);
    const workers = members.map(({ instance: _, ...worker }) => worker);
    this.#welcome = await welcome(workers);
    for (const member of members) if (!staying.includes(member)) this.#sendWelcome(member);
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
    const { instance, pid, host, hostIndex = 0, segmentProblem } = header;
    const id = workerId(hostIndex, pid);
    this.#members[rank] = { rank, instance, id, pid, host, hostIndex, segmentProblem };
    this.#completeIfAllAreHere();
  }

  #rankFor({ index, pid, host, hostIndex = 0 }: Fields<"join">): number | string {
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
    const id = workerId(hostIndex, pid);
    const isExpected = (this.#expected.get(index) ?? id) === id;
    if (!holder && isExpected) return index;
    if (!holder) return `Rank ${index} is kept for another process: refused ${who}`;
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

  #sendWelcome({ instance, rank, hostIndex }: Member): void {
    if (!this.#welcome) return; // comes when all are here
    const { generation = 0, segment, cache, elsewhere } = this.#welcome;
    const isHere = hostIndex === 0;
    const { job, jobBytes = 0, payload } = isHere ? this.#welcome : elsewhere ?? this.#welcome;
    this.#link.publish(this.#link.subjects.welcome(instance), "welcome", {
      ...{ rank, worldSize: this.#members.length, generation, job, jobBytes },
      segment: isHere && segment ? segment : null,
      cache: isHere && cache ? cache : null,
      payload: payload ?? null,
    });
  }

  #absenceError(spawned: readonly SpawnedWorker[]): LockstepError {
    const { joinTimeout } = this.#options;
    const absent = this.#members.flatMap((member, rank) => member ? [] : [rank]);
    const here = this.#members.length - absent.length;
    const known = spawned.find(({ index }) => absent.includes(index));
    const message = `Rank ${absent.join(", ")} did not join within ${joinTimeout} s ` +
      `(${here} of ${this.#members.length} workers are here): ` +
      `raise liveness.joinTimeout if this machine is slow`;
    return new LockstepError(withLastLines(message, known?.lastLines ?? []));
  }
}

function earlyExitError(worker: SpawnedWorker): WorkerLostError {
  const message =
    `Rank ${worker.index} (pid ${worker.pid})${onDevice(worker.device)} ${
      explainExit(worker.exit!, worker.lastLines)
    } ` +
    "before it joined";
  const { index: rank, pid, exit } = worker;
  return new WorkerLostError(withLastLines(message, worker.lastLines), {
    ...{ rank, pid, exit },
    place: undefined,
  });
}

function capitalize(sentence: string): string {
  return sentence[0].toUpperCase() + sentence.slice(1);
}

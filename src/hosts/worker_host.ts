/**
 * A machine on which workers of a run are started: that of the coordinator, or another one, for which its agent speaks.
 *
 * @module
 */
import type { SegmentAddress } from "../base/shared_memory.ts";
import type { OpenMeeting } from "../exchange/host_meeting.ts";
import type { ExchangeChoice } from "../exchange/registry.ts";
import type { ExchangeShape } from "../exchange/step_buffers.ts";
import type { SpawnedWorker, WorkerStart } from "./spawn.ts";

/** Memory that the ranks of one host share. */
export interface HostSegment extends Disposable {
  /** The place at which the host's workers find it. */
  readonly address: SegmentAddress;
  /** Opens the meeting of the ranks in it. */
  readonly meeting: (shape: Omit<ExchangeShape, "regions">) => OpenMeeting;
  /** Gives the memory back to the system, whoever still maps it. */
  release(): void;
}

/** A machine of a run. */
export interface WorkerHost {
  /** Number among the hosts of the run; that of the coordinator is 0. */
  readonly index: number;
  /** Name at the start of a sentence, such as `Host 1 (lab2)`. */
  readonly name: string;
  /** The workers that were not ended by {@linkcode WorkerHost.reap}. */
  readonly workers: readonly SpawnedWorker[];
  /** Waits until the host can start workers: one that is lost must come back. */
  ready(signal?: AbortSignal): Promise<void>;
  /**
   * Makes memory for the exchange of its ranks.
   *
   * @param onFallback Called with the reason why there is none, where `kind` is auto
   * @returns Nothing when the vectors go over NATS
   * @throws {LockstepError} when shared memory was asked for and there is none
   */
  makeSegment(
    kind: ExchangeChoice,
    shape: ExchangeShape,
    onFallback: (reason: string) => void,
  ): Promise<HostSegment | undefined>;
  /** Starts workers, by their indices among all of the run. */
  start(indices: readonly number[], start: WorkerStart): Promise<readonly SpawnedWorker[]>;
  /**
   * Kills workers, and waits until they have ended.
   *
   * @throws {LockstepError} when one of them doesn't end
   */
  reap(ids: readonly string[]): Promise<void>;
  /** Ends all workers: waits `graceMs` for them to exit, then kills them. */
  stop(graceMs: number): Promise<void>;
}

/** The hosts of a run, and the workers of each. */
export class HostGroup {
  readonly #hosts: readonly WorkerHost[];
  /** The host of each worker, by its index. */
  readonly #hostOf: readonly WorkerHost[];

  /** @param layout Number of the workers of each host, in order; 0 for one that has none */
  constructor(hosts: readonly WorkerHost[], layout: readonly number[]) {
    this.#hosts = hosts;
    this.#hostOf = hosts.flatMap((host, at) => Array.from({ length: layout[at] ?? 0 }, () => host));
  }

  /** All workers that were not reaped. */
  get workers(): readonly SpawnedWorker[] {
    return this.#hosts.flatMap(({ workers }) => workers);
  }

  /** The hosts of some workers, each with their number, in order. */
  hostsOf(indices: readonly number[]): { readonly host: WorkerHost; readonly ranks: number }[] {
    return this.#grouped(indices).map(([host, own]) => ({ host, ranks: own.length }));
  }

  /** Waits until the hosts of some workers can start them. */
  async ready(indices: readonly number[], signal?: AbortSignal): Promise<void> {
    await Promise.all(this.#grouped(indices).map(([host]) => host.ready(signal)));
  }

  /**
   * Starts workers on their hosts.
   *
   * @param segments Returns the shared memory that the workers of a host test before they join
   */
  async start(
    indices: readonly number[],
    segments: (host: WorkerHost) => readonly SegmentAddress[],
    isComeback: boolean,
  ): Promise<readonly SpawnedWorker[]> {
    const started = await Promise.all(
      this.#grouped(indices).map(([host, own]) =>
        host.start(own, { segments: segments(host), isComeback })
      ),
    );
    return started.flat();
  }

  /** As of {@linkcode WorkerHost}. */
  async reap(ids: readonly string[]): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.reap(ids)));
  }

  /** As of {@linkcode WorkerHost}. */
  async stop(graceMs: number): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.stop(graceMs)));
  }

  #grouped(indices: readonly number[]): [WorkerHost, number[]][] {
    const groups = Map.groupBy(indices, (index) => this.#hostOf[index]!);
    return this.#hosts.flatMap((host) => {
      const own = groups.get(host);
      return own ? [[host, own] satisfies [WorkerHost, number[]]] : [];
    });
  }
}

/**
 * The coordinator's own machine.
 *
 * @module
 */
import { mapSharedSegment } from "../base/shared_memory.ts";
import { LocalMeeting } from "../exchange/host_meeting.ts";
import { makeSegment } from "../exchange/open_exchange.ts";
import type { ExchangeChoice } from "../exchange/registry.ts";
import type { ExchangeShape } from "../exchange/step_buffers.ts";
import { type SpawnedWorker, type SpawnOptions, WorkerGroup, type WorkerStart } from "./spawn.ts";
import type { HostSegment, WorkerHost } from "./worker_host.ts";

/** This machine, whose workers are processes that this one starts. */
export class LocalHost implements WorkerHost {
  readonly index: number;
  readonly name: string;
  readonly #group: WorkerGroup;

  /** @param hostname The machine's name */
  constructor(options: SpawnOptions, hostname: string) {
    this.index = options.host ?? 0;
    this.name = `Host ${this.index} (${hostname})`;
    this.#group = new WorkerGroup(options);
  }

  get workers(): readonly SpawnedWorker[] {
    return this.#group.workers;
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }

  // deno-lint-ignore require-await -- the interface is asynchronous
  async makeSegment(
    kind: ExchangeChoice,
    shape: ExchangeShape,
    onFallback: (reason: string) => void,
  ): Promise<HostSegment | undefined> {
    return makeLocalSegment(kind, shape, onFallback);
  }

  // deno-lint-ignore require-await -- the interface is asynchronous
  async start(indices: readonly number[], start: WorkerStart): Promise<readonly SpawnedWorker[]> {
    return this.#group.start(indices, start);
  }

  async reap(ids: readonly string[]): Promise<void> {
    await this.#group.reap(ids);
  }

  async stop(graceMs: number): Promise<void> {
    await this.#group.stop(graceMs);
  }
}

/** A segment of this machine. */
export interface LocalSegment extends HostSegment {
  /** Path for this process itself. */
  readonly ownPath: string;
}

/** Makes memory for the ranks of this machine, as of {@linkcode WorkerHost.makeSegment}. */
export function makeLocalSegment(
  kind: ExchangeChoice,
  shape: ExchangeShape,
  onFallback: (reason: string) => void,
): LocalSegment | undefined {
  const segment = makeSegment(kind, shape, onFallback);
  if (!segment) return undefined;
  const { path, bytes, mark, ownPath } = segment;
  return {
    address: { path, bytes, mark },
    ownPath,
    meeting: (shape) => (listener) =>
      new LocalMeeting(shape, mapSharedSegment(ownPath, bytes), listener),
    release: () => segment.release(),
    [Symbol.dispose]: () => segment[Symbol.dispose](),
  };
}

/**
 * Another machine of a run, as the coordinator sees it: its agent starts workers there and watches them. When the agent is
 * lost, all of its workers are; the host may come back with another agent.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { type ComputeDevice, CPU_DEVICE } from "../base/compute_device.ts";
import { orAborted, waitAtMost, within } from "../base/async.ts";
import { LockstepError } from "../base/errors.ts";
import type { SegmentAddress } from "../base/shared_memory.ts";
import { z } from "../deps/zod.ts";
import type { HostMeetingListener } from "../exchange/host_meeting.ts";
import type { ExchangeChoice } from "../exchange/registry.ts";
import type { ExchangeShape } from "../exchange/step_buffers.ts";
import type { Json } from "../protocol/large_json.ts";
import {
  AGENT_NOTICES,
  type COORDINATOR_NOTICES,
  HOST_CALLS,
  type HostCall,
  type HostFacts,
  type RunEnd,
} from "./host_calls.ts";
import { type ConversationHandlers, HostConversation } from "./host_conversation.ts";
import type { SpawnedWorker, WorkerExit, WorkerStart } from "./spawn.ts";
import type { HostSegment, WorkerHost } from "./worker_host.ts";

/** The parts of a remote host that stay the same, whoever its agent is. */
export interface RemoteHostOptions {
  readonly index: number;
  /** Index of its first worker among all of the run. */
  readonly firstWorker: number;
  /** Seconds for which an agent is waited for. */
  readonly joinTimeout: number;
  /** Returns the addresses of other hosts that its workers may connect to. */
  readonly peers: () => readonly string[];
  readonly onLine: (index: number, line: string) => void;
  /** Called with a sentence when the host is lost. */
  readonly onLost: (message: string) => void;
}

/** Thrown by calls of a host that is lost, and lost meanwhile. */
export class HostLostError extends LockstepError {
  override name = "HostLostError";
}

const LINES_KEPT = 50;
/** Milliseconds for an agent to have its workers ended. */
const REAP_MS = 20_000;

/** A host's present agent. */
interface Agent {
  readonly conversation: HostConversation;
  /** The devices of the workers, in order; unknown until it is admitted. */
  devices?: readonly ComputeDevice[];
}

/** Another machine. */
export class RemoteHost implements WorkerHost {
  readonly index: number;
  readonly #options: RemoteHostOptions;
  #agent: Agent | undefined;
  #here = Promise.withResolvers<void>();
  #hostname = "";
  #workers: RemoteWorker[] = [];
  #lastNumber = 0;
  readonly #meetings = new Map<number, HostMeetingListener>();

  constructor(options: RemoteHostOptions) {
    this.index = options.index;
    this.#options = options;
    this.#here.promise.catch(() => {});
  }

  get name(): string {
    return `Host ${this.index}${this.#hostname ? ` (${this.#hostname})` : ""}`;
  }

  get workers(): readonly SpawnedWorker[] {
    return this.#workers;
  }

  /** The machine's name, once an agent has joined. */
  get hostname(): string {
    return this.#hostname;
  }

  /** True while an agent speaks for it, which was admitted. */
  get isHere(): boolean {
    return this.#agent?.devices !== undefined;
  }

  /** Milliseconds since anything came from its agent. */
  get silentMs(): number {
    return this.#agent?.conversation.silentMs ?? 0;
  }

  /** True while an agent speaks for it, admitted or not. */
  get canCall(): boolean {
    return this.#agent !== undefined;
  }

  /** The devices of its workers, in order. */
  get devices(): readonly ComputeDevice[] {
    return this.#agent?.devices ?? [];
  }

  /** Handlers of what an agent says. */
  get handlers(): ConversationHandlers {
    const parsing =
      <S extends z.ZodType>(schema: S, handle: (args: z.output<S>) => void) => (args: Json) =>
        handle(schema.parse(args));
    const listenerOf = (meeting: number) => this.#meetings.get(meeting);
    return {
      calls: {},
      notices: {
        line: parsing(AGENT_NOTICES.line, ({ id, index, line }) => {
          this.#workers.find((worker) => worker.id === id)?.printed(line);
          this.#options.onLine(index, line);
        }),
        exit: parsing(AGENT_NOTICES.exit, ({ id, code, signal, memory }) => {
          const end = { code, signal, ...(memory ? { memory } : {}) };
          this.#workers.find((worker) => worker.id === id)?.ended(end);
        }),
        contributed: parsing(
          AGENT_NOTICES.contributed,
          ({ meeting, index }) => listenerOf(meeting)?.onContributed(index),
        ),
        summed: parsing(
          AGENT_NOTICES.summed,
          ({ meeting, index, floats, records }) =>
            listenerOf(meeting)?.onSummed(index, { floats, records: numbersIn(records) }),
        ),
        meetingFailed: parsing(
          AGENT_NOTICES.meetingFailed,
          ({ meeting, reason }) =>
            listenerOf(meeting)?.onFailed(new LockstepError(`${this.name}: ${reason}`)),
        ),
        leaving: parsing(AGENT_NOTICES.leaving, ({ reason }) => this.lose(reason)),
      },
    };
  }

  /** Takes an agent that asks to join: it can be called. */
  attach(conversation: HostConversation, { hostname }: HostFacts): void {
    this.#agent = { conversation };
    this.#hostname = hostname;
  }

  /** Admits the agent: the host can start workers on these devices. */
  admit(devices: readonly ComputeDevice[]): void {
    if (!this.#agent) return; // it was lost meanwhile
    this.#agent.devices = devices;
    this.#here.resolve();
  }

  /**
   * The agent is gone, and its workers count as ended.
   *
   * @param reason The predicate of a sentence about the host, such as `has sent nothing for 8 s`
   */
  lose(reason: string): void {
    const agent = this.#agent;
    if (!agent) return;
    this.#agent = undefined;
    const error = new HostLostError(`${this.name} ${reason}`);
    agent.conversation.end(error);
    if (!agent.devices) return;
    this.#here = Promise.withResolvers();
    this.#here.promise.catch(() => {});
    for (const listener of this.#meetings.values()) listener.onFailed(error);
    this.#meetings.clear();
    this.#options.onLost(`${this.name} is lost: it ${reason}`);
    for (const worker of this.#workers) {
      worker.ended({
        code: -1,
        signal: null,
        reason: `is lost with ${lowered(this.name)}, which ${reason}`,
      });
    }
  }

  async ready(signal?: AbortSignal): Promise<void> {
    const { joinTimeout } = this.#options;
    const makeError = () =>
      new LockstepError(
        `${this.name} hasn't come back within ${joinTimeout} s (hosts.joinTimeout): start its agent again, and go on ` +
          "with --resume; with onWorkerLost: shrink a run goes on without it",
      );
    await within(orAborted(this.#here.promise, signal), 1000 * joinTimeout, makeError);
  }

  async makeSegment(
    kind: ExchangeChoice,
    shape: ExchangeShape,
    onFallback: (reason: string) => void,
  ): Promise<HostSegment | undefined> {
    const number = this.#lastNumber++;
    const agent = this.#agent;
    const args = { number, kind, shape: plain(shape) };
    const { segment, fallback } = await this.call("makeSegment", args);
    if (fallback !== null) onFallback(`${this.name}: ${fallback}`);
    if (!segment) return undefined;
    // Of an agent that is lost, nothing is left.
    const notify = (name: keyof typeof COORDINATOR_NOTICES, args: Json) => {
      if (agent === this.#agent) agent?.conversation.notify(name, args);
    };
    let isDropped = false;
    const drop = (release: boolean) => {
      if (!isDropped) notify("dropSegment", { segment: number, release });
      isDropped = true;
    };
    const address: SegmentAddress & { readonly number: number } = { ...segment, number };
    return {
      address,
      meeting: (shape) => async (listener) => {
        const meeting = this.#lastNumber++;
        this.#meetings.set(meeting, listener);
        // Its answer means that the ranks may meet: before, their memory is made ready.
        await this.call("openMeeting", { meeting, segment: number, shape: plain(shape) });
        return {
          grant: (action) => notify("grant", { meeting, action }),
          close: () => {
            this.#meetings.delete(meeting);
            notify("closeMeeting", { meeting });
          },
        };
      },
      release: () => drop(true),
      [Symbol.dispose]: () => drop(false),
    };
  }

  async start(
    indices: readonly number[],
    { segments = [], isComeback = false }: WorkerStart,
  ): Promise<readonly SpawnedWorker[]> {
    const [segment] = segments as readonly (SegmentAddress & { readonly number?: number })[];
    const devices = indices.map((index) =>
      this.devices[index - this.#options.firstWorker] ?? CPU_DEVICE
    );
    const started = await this.call("start", {
      ...{ indices: [...indices], isComeback, devices },
      segment: segment?.number ?? null,
      peers: [...this.#options.peers()],
    });
    const workers = started.map(({ index, id, pid }, at) =>
      new RemoteWorker(index, id, pid, devices[at]!)
    );
    this.#workers.push(...workers);
    return workers;
  }

  async reap(ids: readonly string[]): Promise<void> {
    const own = this.#workers.filter(({ id }) => ids.includes(id));
    if (own.length === 0) return;
    if (this.#agent) {
      const signal = AbortSignal.timeout(REAP_MS);
      await this.call("reap", { ids: own.map(({ id }) => id) }, signal).catch((error) => {
        if (this.#agent) throw error; // a host that was lost meanwhile has no workers
      });
    }
    this.#workers = this.#workers.filter((worker) => !own.includes(worker));
  }

  async stop(graceMs: number): Promise<void> {
    if (!this.#agent) return;
    const stopped = this.call("stop", { graceMs }).catch(() => {});
    await waitAtMost(graceMs + REAP_MS, stopped);
  }

  /**
   * Has the agent do something.
   *
   * @throws {LockstepError} what it has failed with; when the host is lost
   */
  async call<K extends HostCall>(
    name: K,
    args: z.input<(typeof HOST_CALLS)[K]["args"]>,
    signal?: AbortSignal,
  ): Promise<z.output<(typeof HOST_CALLS)[K]["result"]>> {
    if (!this.#agent) throw new HostLostError(`${this.name} isn't there`);
    const result = await this.#agent.conversation.call(name, args as Json, signal);
    const schema: z.ZodType = HOST_CALLS[name].result;
    return schema.parse(result) as z.output<(typeof HOST_CALLS)[K]["result"]>;
  }

  /** Lets the agent go; resolves when it knows, or is silent. */
  async end(end: RunEnd): Promise<void> {
    const agent = this.#agent;
    if (!agent) return;
    agent.conversation.notify("end", { ...end });
    await waitAtMost(1_000, agent.conversation.empty);
    this.#agent = undefined;
    agent.conversation.end(new LockstepError(`${this.name} was let go`));
  }
}

/** A worker on another host. */
class RemoteWorker implements SpawnedWorker {
  readonly index: number;
  readonly id: string;
  readonly pid: number;
  readonly device: ComputeDevice;
  readonly lastLines: string[] = [];
  exit: WorkerExit | undefined;
  readonly #exited = Promise.withResolvers<WorkerExit>();

  constructor(index: number, id: string, pid: number, device: ComputeDevice) {
    this.index = index;
    this.id = id;
    this.pid = pid;
    this.device = device;
  }

  get exited(): Promise<WorkerExit> {
    return this.#exited.promise;
  }

  printed(line: string): void {
    this.lastLines.push(line);
    if (this.lastLines.length > LINES_KEPT) this.lastLines.shift();
  }

  ended(exit: Omit<WorkerExit, "index" | "pid">): void {
    if (this.exit) return;
    this.exit = { index: this.index, pid: this.pid, ...exit };
    this.#exited.resolve(this.exit);
  }
}

/** A shape as a call carries it. */
function plain<S extends Omit<ExchangeShape, "regions">>(shape: S) {
  return JSON.parse(JSON.stringify(shape)) as S & { [key: string]: Json };
}

function numbersIn(base64: string): Float64Array<ArrayBuffer> {
  const bytes = new Uint8Array(Buffer.from(base64, "base64"));
  return new Float64Array(bytes.buffer, 0, bytes.length / Float64Array.BYTES_PER_ELEMENT);
}

function lowered(name: string): string {
  return name[0]!.toLowerCase() + name.slice(1);
}

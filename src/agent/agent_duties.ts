/**
 * The duties of an agent: the coordinator's calls and notices, carried out on this host.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { hostname } from "node:os";
import { z } from "../deps/zod.ts";
import { type ComputeDevice, CPU_DEVICE, numberedDevice } from "../base/compute_device.ts";
import { counted } from "../base/format.ts";
import { LockstepError } from "../base/errors.ts";
import { given } from "../base/given.ts";
import { maskAddress } from "../base/secrets.ts";
import { workerThreads } from "../engine/threads.ts";
import type { HostMeeting } from "../exchange/host_meeting.ts";
import { claimDevices } from "../gpus/claim_devices.ts";
import { DataServer, type DataServerOptions } from "../hosts/data_server.ts";
import {
  AGENT_NOTICES,
  COORDINATOR_NOTICES,
  HOST_CALLS,
  type HostCall,
} from "../hosts/host_calls.ts";
import type { ConversationHandlers } from "../hosts/host_conversation.ts";
import { type LocalSegment, makeLocalSegment } from "../hosts/local_host.ts";
import { probeServers } from "../hosts/probe_servers.ts";
import { type SpawnedWorker, type SpawnOptions, WorkerGroup } from "../hosts/spawn.ts";
import type { NatsAddress } from "../protocol/address.ts";
import type { Json } from "../protocol/large_json.ts";
import type { RunIdentity } from "../protocol/subjects.ts";
import { ensureLibtensorflow } from "../provision/libtensorflow.ts";
import { AgentData } from "./agent_data.ts";
import type { Progress } from "../provision/progress.ts";
import type { LiveRegistration } from "../records/live_runs.ts";

/** Options of an agent's duties. */
export interface DutyOptions {
  readonly index: number;
  readonly run: RunIdentity;
  /** The coordinator's server, as the workers connect to it. */
  readonly nats: NatsAddress;
  readonly lostAfter: number;
  readonly reconnectTimeout: number;
  readonly dataServer: DataServerOptions;
  /** The folder of this host's images, where it isn't that of the config. */
  readonly data?: string | undefined;
  readonly progress: Progress;
  readonly onInfo: (message: string) => void;
  readonly onWarning: (message: string) => void;
  /** Program of the workers, unless they are those of a run. */
  readonly entry?: string | URL | undefined;
  /** The entry of this host in the register of live runs. */
  readonly live?: Pick<LiveRegistration, "update">;
  readonly notify: (name: keyof typeof AGENT_NOTICES, args: Json) => void;
  readonly onEnd: (end: z.output<typeof COORDINATOR_NOTICES.end>) => void;
}

const encode = (records: Float64Array<ArrayBuffer>) =>
  Buffer.from(records.buffer, records.byteOffset, records.byteLength).toString("base64");

/** An agent's work for the coordinator; all of it ends when this is disposed of. */
export class AgentDuties implements AsyncDisposable {
  readonly #options: DutyOptions;
  readonly #segments = new Map<number, LocalSegment>();
  readonly #meetings = new Map<number, HostMeeting>();
  #group: WorkerGroup | undefined;
  /** Pids of workers that have ended. */
  readonly #ended = new Set<number>();
  #devices: Record<number, ComputeDevice> = {};
  readonly #data: AgentData;
  #server: DataServer | undefined;
  #spawn: Pick<SpawnOptions, "threads" | "libraryPath"> | undefined;
  /** Holds the GPUs of this host's workers against other runs. */
  #claim: Disposable | undefined;

  constructor(options: DutyOptions) {
    this.#options = options;
    const { index, data: folder, progress, onInfo, onWarning } = options;
    this.#data = new AgentData({
      ...{ folder, progress, onInfo, onWarning, hostName: `Host ${index} (${hostname()})` },
    });
  }

  /** Handlers of the conversation with the coordinator. */
  get handlers(): ConversationHandlers {
    return {
      calls: {
        prepare: serving("prepare", (args) => this.#prepare(args)),
        manifestPart: serving("manifestPart", ({ begin, part }) => {
          this.#data.addPart(begin, part);
          return null;
        }),
        prepareData: serving("prepareData", async (args) => {
          await this.#data.prepare(args);
          return null;
        }),
        startServer: serving("startServer", ({ nkey }) => this.#startServer(nkey)),
        probe: serving("probe", (args) => probeServers(args)),
        makeSegment: serving("makeSegment", (args) => this.#makeSegment(args)),
        openMeeting: serving("openMeeting", (args) => this.#openMeeting(args)),
        start: serving("start", (args) => this.#start(args)),
        reap: serving("reap", async ({ ids }) => {
          await this.#group?.reap(ids);
          return null;
        }),
        stop: serving("stop", async ({ graceMs }) => {
          await this.#group?.stop(graceMs);
          return null;
        }),
      },
      notices: {
        grant: hearing(
          "grant",
          ({ meeting, action }) => this.#meetings.get(meeting)?.grant(action),
        ),
        closeMeeting: hearing("closeMeeting", ({ meeting }) => {
          this.#meetings.get(meeting)?.close();
          this.#meetings.delete(meeting);
        }),
        dropSegment: hearing("dropSegment", ({ segment: number, release }) => {
          const segment = this.#segments.get(number);
          this.#segments.delete(number);
          if (release) segment?.release();
          segment?.[Symbol.dispose]();
        }),
        end: hearing("end", (end) => this.#options.onEnd(end)),
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const meeting of this.#meetings.values()) meeting.close();
    await this.#group?.stop(0);
    for (const segment of this.#segments.values()) segment[Symbol.dispose]();
    await this.#server?.[Symbol.asyncDispose]();
    this.#claim?.[Symbol.dispose]();
    this.#data[Symbol.dispose]();
    this.#options.live?.update({ workers: [] });
  }

  async #prepare({ device, workers, threadsPerWorker, shareGpus }: Args<"prepare">) {
    this.#claim?.[Symbol.dispose]();
    const claimed = this.#claim = await claimDevices(
      { device, workers, sharesHeld: shareGpus },
      { run: `of ${maskAddress(this.#options.nats.url)}` },
    );
    const { devices, build, warnings } = claimed;
    const libraryPath = await ensureLibtensorflow(this.#options.progress, build);
    this.#spawn = { libraryPath, threads: workerThreads(threadsPerWorker ?? undefined, workers) };
    return { devices: [...devices], warnings: [...warnings] };
  }

  async #startServer(nkey: string) {
    await this.#server?.[Symbol.asyncDispose]();
    this.#server = await DataServer.start(nkey, this.#options.dataServer);
    const name = `Host ${this.#options.index} (${hostname()})`;
    return { ...this.#server.reachable, name };
  }

  #makeSegment({ number, kind, shape }: Args<"makeSegment">) {
    let fallback: string | null = null;
    const { maxWholeBytes, wire, ...sizes } = shape;
    const segment = makeLocalSegment(
      kind,
      { ...sizes, ...given("maxWholeBytes", maxWholeBytes), ...given("wire", wire) },
      (reason) => fallback = reason,
    );
    if (segment) this.#segments.set(number, segment);
    return { segment: segment ? { ...segment.address } : null, fallback };
  }

  async #openMeeting({ meeting, segment: number, shape }: Args<"openMeeting">): Promise<null> {
    const { notify } = this.#options;
    const segment = this.#segments.get(number);
    if (!segment) throw new LockstepError("The memory of the exchange is gone");
    const { maxWholeBytes, wire, regions: _, ...sizes } = shape;
    const open = segment.meeting({
      ...{ ...sizes, ...given("maxWholeBytes", maxWholeBytes), ...given("wire", wire) },
    });
    this.#meetings.set(
      meeting,
      await open({
        onContributed: (index) => notify("contributed", { meeting, index }),
        onSummed: (index, { floats, records }) =>
          notify("summed", { meeting, index, floats: [...floats], records: encode(records) }),
        onFailed: (error) => notify("meetingFailed", { meeting, reason: error.message }),
      }),
    );
    return null;
  }

  #start({ indices, segment: number, isComeback, devices, peers }: Args<"start">) {
    const { index: host, run, nats, lostAfter, reconnectTimeout, entry, notify, onInfo } =
      this.#options;
    indices.forEach((index, at) => this.#devices[index] = devices[at]!);
    this.#group ??= new WorkerGroup({
      ...{ host, run, nats, lostAfter, reconnectTimeout, peers, devices: this.#devices },
      ...this.#spawn!,
      ...given("jobHere", this.#data.jobHere as SpawnOptions["jobHere"]),
      ...given("writableFolder", this.#data.writableFolder),
      ...given("entry", entry),
      onLine: (index, line) => {
        const worker = this.#group?.workers.findLast((each) => each.index === index);
        if (worker) notify("line", { id: worker.id, index, line });
      },
    });
    const segment = number === null ? undefined : this.#segments.get(number)?.address;
    const started = this.#group.start(indices, {
      segments: segment ? [segment] : [],
      isComeback,
    });
    const pids = started.map(({ pid }) => pid).join(", ");
    onInfo(
      `${isComeback ? "Replaced" : "Started"} ${counted(started.length, "worker")} (pid ${pids})`,
    );
    for (const worker of started) void this.#tellOfEnd(worker);
    this.#register();
    return started.map(({ index, id, pid }) => ({ index, id, pid }));
  }

  /** Shows the workers that go on in the register. */
  #register(): void {
    const workers = (this.#group?.workers ?? []).filter(({ pid }) => !this.#ended.has(pid));
    this.#options.live?.update({
      workers: workers.map(({ index, pid }) => ({
        ...{ rank: index, pid },
        device: numberedDevice(this.#devices[index] ?? CPU_DEVICE),
      })),
    });
  }

  async #tellOfEnd({ id, pid, exited }: SpawnedWorker): Promise<void> {
    const { code, signal, memory } = await exited;
    this.#ended.add(pid);
    this.#register();
    const limits = memory && { limits: [...memory.limits], killed: memory.killed };
    this.#options.notify("exit", { id, code, signal, memory: limits ?? null });
  }
}

type Args<K extends HostCall> = z.output<(typeof HOST_CALLS)[K]["args"]>;
type Result<K extends HostCall> = z.input<(typeof HOST_CALLS)[K]["result"]>;
type Notice<K extends keyof typeof COORDINATOR_NOTICES> = z.output<
  (typeof COORDINATOR_NOTICES)[K]
>;

/** A handler of a call whose arguments and result are checked. */
function serving<K extends HostCall>(
  name: K,
  serve: (args: Args<K>) => Promise<Result<K>> | Result<K>,
): (args: Json) => Promise<Json> {
  const schema: z.ZodType = HOST_CALLS[name].args;
  return async (args) => JSON.parse(JSON.stringify(await serve(schema.parse(args) as Args<K>)));
}

function hearing<K extends keyof typeof COORDINATOR_NOTICES>(
  name: K,
  hear: (args: Notice<K>) => void,
): (args: Json) => void {
  const schema: z.ZodType = COORDINATOR_NOTICES[name];
  return (args) => hear(schema.parse(args) as Notice<K>);
}

/**
 * Worker processes on this machine.
 *
 * @module
 */
import { isIP } from "node:net";
import { delay, waitAtMost } from "../base/async.ts";
import { type ComputeDevice, CPU_DEVICE, onDevice } from "../base/compute_device.ts";
import { LockstepError } from "../base/errors.ts";
import { FAULT_VARIABLE } from "../base/fault_point.ts";
import { given } from "../base/given.ts";
import { type OwnProgram, programCommand } from "../base/programs.ts";
import type { SegmentAddress } from "../base/shared_memory.ts";
import { isStopSignal } from "../base/signals.ts";
import { VISIBLE_DEVICES } from "../gpus/visible_devices.ts";
import { type NatsAddress, parseAddress } from "../protocol/address.ts";
import { DEFAULT_RECONNECT_TIMEOUT } from "../protocol/server_loss.ts";
import type { RunIdentity } from "../protocol/subjects.ts";
import type { WorkerSettings } from "../protocol/worker_settings.ts";
import { keepLines } from "./lines.ts";
import { readMemoryState } from "../engine/memory_limits.ts";

/** Names a worker process among those of all hosts of a run, for as long as it lives. */
export function workerId(host: number, pid: number): string {
  return `${host}/${pid}`;
}

/** Options for starting workers. */
export interface SpawnOptions {
  /** Number of this machine among the hosts of the run (0 unless given). */
  readonly host?: number | undefined;
  readonly run: RunIdentity;
  readonly nats: NatsAddress;
  /** Threads per worker. */
  readonly threads: number;
  /** The device of each worker, by its index; the CPU unless given. */
  readonly devices?: Readonly<Record<number, ComputeDevice>> | undefined;
  /** The libtensorflow that the workers open. */
  readonly libraryPath?: string | undefined;
  /** Addresses of other hosts, without ports, that the workers may connect to. */
  readonly peers?: readonly string[] | undefined;
  /** The parts of the job that are others on this machine. */
  readonly jobHere?: WorkerSettings["jobHere"];
  /** Seconds without a heartbeat of the coordinator after which a worker exits. */
  readonly lostAfter: number;
  /** Seconds for which the coordinator waits for a lost server (30 unless given). */
  readonly reconnectTimeout?: number | undefined;
  /** The only folder into which a worker may write; its path has no comma, which separates paths in a permission. */
  readonly writableFolder?: string | undefined;
  /** Program of the worker (default `workers/train_worker.ts`). */
  readonly entry?: string | URL;
  /** Called with each line that a worker prints. */
  readonly onLine?: (index: number, line: string) => void;
}

/** Circumstances in which workers are started. */
export interface WorkerStart {
  /** Shared memory that each worker tests before it joins. */
  readonly segments?: readonly SegmentAddress[];
  /** True for workers in the place of lost ones: a fault point of the environment is not for them. */
  readonly isComeback?: boolean | undefined;
}

/** The end of a worker process. */
export interface WorkerExit {
  readonly index: number;
  readonly pid: number;
  readonly code: number;
  /** Name such as `SIGKILL`; null when no signal ended the process. */
  readonly signal: string | null;
  /** The predicate of a sentence about an end of which this process knows no more than that its host is gone. */
  readonly reason?: string;
  /** The kernel's out-of-memory report, if there is one. */
  readonly memory?: {
    readonly limits: readonly string[];
    /** True when the kernel's out-of-memory killer ended a process during this process's life. */
    readonly killed: boolean;
  };
}

/** A worker process that this coordinator started, on this machine or another. */
export interface SpawnedWorker {
  readonly index: number;
  /** As of {@linkcode workerId}. */
  readonly id: string;
  readonly pid: number;
  readonly device: ComputeDevice;
  /** Resolves when the process has ended and its output has been read. */
  readonly exited: Promise<WorkerExit>;
  /** The exit of the process; undefined while it runs. */
  readonly exit: WorkerExit | undefined;
  /** The last 50 lines that it printed, oldest first. */
  readonly lastLines: readonly string[];
}

const LINES_KEPT = 50;
const CLOSE_MS = 500;
/** Milliseconds within which a signal that ended a worker reaches this process as well. */
const SIGNAL_MS = 500;

/** Starts workers from index 0 on; they end with this process, with their scope, or when `stop` is called. */
export function spawnWorkers(
  { count, segments = [], isComeback, ...options }: SpawnOptions & WorkerStart & {
    readonly count: number;
  },
): WorkerGroup {
  const group = new WorkerGroup(options);
  group.start(Array.from({ length: count }, (_, index) => index), { segments, isComeback });
  return group;
}

/** Milliseconds in which a process that was killed must have ended: one that hangs in the kernel may not. */
const REAP_MS = 15_000;
/** The same for all processes at the end of a run, which is over without them. */
const LAST_REAP_MS = 3_000;

/** The workers of a run on this machine. */
export class WorkerGroup {
  readonly #options: SpawnOptions;
  #processes: readonly WorkerProcess[] = [];

  constructor(options: SpawnOptions) {
    this.#options = options;
  }

  /** The workers that were not ended by {@linkcode reap}. */
  get workers(): readonly SpawnedWorker[] {
    return this.#processes;
  }

  /** Starts workers. */
  start(indices: readonly number[], start: WorkerStart): readonly SpawnedWorker[] {
    const options = { ...this.#options, ...start };
    const started = indices.map((index) => new WorkerProcess(options, index));
    this.#processes = [...this.#processes, ...started];
    return started;
  }

  /**
   * Kills workers, and waits until they have ended.
   *
   * @param withinMs Milliseconds in which a process must have ended
   * @throws {LockstepError} when one of them doesn't end, as if it hung in the kernel
   */
  async reap(ids: readonly string[], withinMs = REAP_MS): Promise<void> {
    const lost = this.#processes.filter(({ id }) => ids.includes(id));
    lost.forEach((process) => process.kill());
    const ended = Promise.all(lost.map(({ exited }) => exited));
    await waitAtMost(withinMs, ended);
    const alive = lost.find(({ exit }) => !exit);
    if (alive) {
      throw new LockstepError(
        `Worker ${alive.index} (pid ${alive.pid})${
          onDevice(alive.device)
        } was killed, but hasn't ended within ` +
          `${withinMs / 1000} s: its device or its file system holds it; see dmesg`,
      );
    }
    this.#processes = this.#processes.filter((process) => !lost.includes(process));
  }

  /**
   * Ends all workers: waits `graceMs` for them to exit, then closes their standard input, and sends SIGKILL half
   * a second later. Resolves when all have ended, or three seconds after that: nobody can end a process that hangs in the
   * kernel.
   */
  async stop(graceMs: number): Promise<void> {
    const ended = Promise.all(this.#processes.map(({ exited }) => exited));
    await waitAtMost(graceMs, ended);
    this.#processes.forEach((process) => process.askToEnd());
    await waitAtMost(CLOSE_MS, ended);
    this.#processes.forEach((process) => process.kill());
    await waitAtMost(LAST_REAP_MS, ended);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0);
  }
}

class WorkerProcess implements SpawnedWorker {
  readonly index: number;
  readonly id: string;
  readonly pid: number;
  readonly device: ComputeDevice;
  readonly exited: Promise<WorkerExit>;
  readonly lastLines: string[] = [];
  exit: WorkerExit | undefined;
  readonly #process: Deno.ChildProcess;
  readonly #kills = readMemoryState().kills;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;

  constructor(options: SpawnOptions & WorkerStart, index: number) {
    this.index = index;
    this.device = deviceOf(options, index);
    this.#process = programCommand(programOf(options), {
      env: {
        ...threadVariables(options.threads),
        ...deviceVariables(this.device),
        ...(options.isComeback ? { [FAULT_VARIABLE]: "" } : {}),
      },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.pid = this.#process.pid;
    this.id = workerId(options.host ?? 0, this.pid);
    this.#stdin = this.#process.stdin.getWriter();
    this.#sendSettings(options);
    const output = [this.#process.stdout, this.#process.stderr].map((stream) =>
      keepLines(stream, this.lastLines, LINES_KEPT, (line) => options.onLine?.(index, line))
    );
    this.exited = this.#process.status.then(async ({ code, signal }) => {
      const { limits, kills } = readMemoryState();
      const memory = { limits, killed: kills > this.#kills };
      this.exit = { index, pid: this.pid, code, signal, memory };
      await Promise.allSettled([...output, this.#stdin.close()]);
      // A stop signal to the whole process group must be noticed here first, lest it look like the loss of a
      // worker.
      if (isStopSignal(signal)) await delay(SIGNAL_MS);
      return this.exit;
    });
  }

  /** Closes the pipe to the process, whose end asks the process to exit. */
  askToEnd(): void {
    if (!this.exit) this.#stdin.close().catch(() => {}); // the process may be ending already
  }

  /**
   * Kills the process, without effect when it has ended. Workers write no files, so that nothing is left
   * half-written.
   */
  kill(): void {
    if (this.exit) return;
    try {
      this.#process.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // TypeError: it has ended this very moment
    }
  }

  /** Never written to: the end of the pipe tells the worker that this process has ended. */
  #sendSettings(options: SpawnOptions & WorkerStart): void {
    const { run, nats, threads, libraryPath, jobHere, lostAfter, segments = [] } = options;
    const { reconnectTimeout = DEFAULT_RECONNECT_TIMEOUT } = options;
    const settings: WorkerSettings = {
      runId: run.runId,
      key: run.key,
      nats: {
        url: nats.url,
        ...given("credentials", nats.workerCredentials ?? nats.credentials),
        ...given("ca", nats.ca),
        ...given("tlsName", nats.tlsName),
        ...given("fingerprint", nats.fingerprint),
        ...given("own", nats.own),
        ...given("prefix", nats.prefix),
      },
      index: this.index,
      hostIndex: options.host ?? 0,
      threads,
      device: this.device,
      ...(options.isComeback ? { isReplacement: true } : {}),
      ...given("libraryPath", libraryPath),
      ...given("jobHere", jobHere),
      lostAfter,
      reconnectTimeout,
      segments: segments.map(({ path, bytes, mark }) => ({ path, bytes, mark })),
    };
    const line = new TextEncoder().encode(JSON.stringify(settings) + "\n");
    this.#stdin.write(line).catch(() => {}); // a worker that ends early is noticed by its exit
  }
}

/**
 * Returns what a worker needs to connect to a server (`host:port`): for the addresses of a name to be asked for, the name
 * must be permitted as it is.
 */
export function placesOf(server: string): string[] {
  const host = server.slice(0, server.lastIndexOf(":"));
  return isIP(host.replace(/^\[|\]$/g, "")) === 0 ? [host, server] : [server];
}

function programOf(
  { nats, peers = [], writableFolder, entry = "workers/train_worker.ts" }: SpawnOptions,
): OwnProgram {
  const { server } = parseAddress({ url: nats.url });
  const { credentialsFile: secret } = nats;
  return {
    entry,
    permissions: "worker",
    flags: [
      `--allow-net=${[...(nats.reach ?? placesOf(server)), ...peers].join(",")}`,
      ...(writableFolder ? [`--allow-write=${writableFolder}`] : []),
      // A comma separates paths in a permission.
      ...(secret !== undefined && !secret.includes(",") ? [`--deny-read=${secret}`] : []),
    ],
  };
}

function deviceOf({ devices }: SpawnOptions, index: number): ComputeDevice {
  return devices?.[index] ?? CPU_DEVICE;
}

/** CUDA reads it when its driver is first asked for devices; the UUID means the same whatever is masked. */
function deviceVariables(device: ComputeDevice): Record<string, string> {
  return device.kind === "gpu" ? { [VISIBLE_DEVICES]: device.uuid } : {};
}

/** TensorFlow and oneDNN read these variables when their libraries are loaded. */
function threadVariables(threads: number): Record<string, string> {
  return { OMP_NUM_THREADS: String(threads), TF_NUM_INTRAOP_THREADS: String(threads) };
}

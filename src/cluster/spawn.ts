/**
 * Worker processes on this machine.
 *
 * @module
 */
import { delay, waitAtMost } from "../base/async.ts";
import { type ComputeDevice, CPU_DEVICE } from "../base/compute_device.ts";
import { given } from "../base/given.ts";
import { type OwnProgram, programCommand } from "../base/programs.ts";
import type { SegmentAddress } from "../base/shared_memory.ts";
import { isStopSignal } from "../base/signals.ts";
import { VISIBLE_DEVICES } from "../gpus/visible_devices.ts";
import type { NatsAddress } from "../protocol/address.ts";
import type { RunIdentity } from "../protocol/subjects.ts";
import type { WorkerSettings } from "../protocol/worker_settings.ts";
import { keepLines } from "./lines.ts";
import { readMemoryState } from "../engine/memory_limits.ts";

/** Options for starting workers. */
export interface SpawnOptions {
  readonly count: number;
  readonly run: RunIdentity;
  readonly nats: NatsAddress;
  /** Threads per worker. */
  readonly threads: number;
  /** The device of each worker; the CPU unless given. */
  readonly devices?: readonly ComputeDevice[] | undefined;
  /** The libtensorflow that the workers open. */
  readonly libraryPath?: string | undefined;
  /** Seconds without a heartbeat of the coordinator after which a worker exits. */
  readonly lostAfter: number;
  /** Shared memory that each worker tests before it joins. */
  readonly segments?: readonly SegmentAddress[];
  /** The only folder into which a worker may write; its path has no comma, which separates paths in a permission. */
  readonly writableFolder?: string | undefined;
  /** Additional environment variables. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Program of the worker (default `workers/train_worker.ts`). */
  readonly entry?: string | URL;
  /** Called with each line that a worker prints. */
  readonly onLine?: (index: number, line: string) => void;
}

/** The end of a worker process. */
export interface WorkerExit {
  readonly index: number;
  readonly pid: number;
  readonly code: number;
  /** Name such as `SIGKILL`; null when no signal ended the process. */
  readonly signal: string | null;
  /** The kernel's out-of-memory report, if there is one. */
  readonly memory?: {
    readonly limits: readonly string[];
    /** True when the kernel's out-of-memory killer ended a process during this process's life. */
    readonly killed: boolean;
  };
}

/** A worker process that this coordinator started. */
export interface SpawnedWorker {
  readonly index: number;
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

/** Starts workers; they end with this process, with their scope, or when `stop` is called. */
export function spawnWorkers(options: SpawnOptions): WorkerGroup {
  const indices = Array.from({ length: options.count }, (_, index) => index);
  return new WorkerGroup(indices.map((index) => new WorkerProcess(options, index)));
}

/** The workers of a run on this machine. */
export class WorkerGroup {
  readonly workers: readonly SpawnedWorker[];
  readonly #processes: readonly WorkerProcess[];

  constructor(processes: readonly WorkerProcess[]) {
    this.workers = this.#processes = processes;
  }

  /**
   * Ends all workers: waits `graceMs` for them to exit, then closes their standard input, and sends SIGKILL half
   * a second later. Resolves when all have ended.
   */
  async stop(graceMs: number): Promise<void> {
    const ended = Promise.all(this.#processes.map(({ exited }) => exited));
    await waitAtMost(graceMs, ended);
    this.#processes.forEach((process) => process.askToEnd());
    await waitAtMost(CLOSE_MS, ended);
    this.#processes.forEach((process) => process.kill());
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0);
  }
}

class WorkerProcess implements SpawnedWorker {
  readonly index: number;
  readonly pid: number;
  readonly device: ComputeDevice;
  readonly exited: Promise<WorkerExit>;
  readonly lastLines: string[] = [];
  exit: WorkerExit | undefined;
  readonly #process: Deno.ChildProcess;
  readonly #kills = readMemoryState().kills;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;

  constructor(options: SpawnOptions, index: number) {
    this.index = index;
    this.device = deviceOf(options, index);
    this.#process = programCommand(programOf(options), {
      env: {
        ...threadVariables(options.threads),
        ...deviceVariables(this.device),
        ...options.env,
      },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.pid = this.#process.pid;
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
  #sendSettings(options: SpawnOptions): void {
    const { run, nats, threads, libraryPath, lostAfter, segments = [] } = options;
    const settings: WorkerSettings = {
      runId: run.runId,
      token: run.token,
      nats: {
        url: nats.url,
        ...(nats.token ? { token: nats.token } : {}),
        ...(nats.ca ? { ca: nats.ca } : {}),
      },
      index: this.index,
      threads,
      device: this.device,
      ...given("libraryPath", libraryPath),
      lostAfter,
      segments: segments.map(({ path, bytes, mark }) => ({ path, bytes, mark })),
    };
    const line = new TextEncoder().encode(JSON.stringify(settings) + "\n");
    this.#stdin.write(line).catch(() => {}); // a worker that ends early is noticed by its exit
  }
}

function programOf(
  { nats, writableFolder, entry = "workers/train_worker.ts" }: SpawnOptions,
): OwnProgram {
  // A permission can name a loopback address alone; a host name resolves to addresses that are unknown here.
  const local = /^nats:\/\/(?:[^@/]*@)?(127\.0\.0\.1:\d+)\/?$/.exec(nats.url)?.[1];
  return {
    entry,
    permissions: "worker",
    flags: [
      local ? `--allow-net=${local}` : "--allow-net",
      ...(writableFolder ? [`--allow-write=${writableFolder}`] : []),
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

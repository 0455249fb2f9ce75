/**
 * Worker processes on this machine.
 *
 * @module
 */
import { delay, waitAtMost } from "../base/async.ts";
import { type OwnProgram, programCommand } from "../base/programs.ts";
import type { SegmentAddress } from "../base/shared_memory.ts";
import { isStopSignal } from "../base/signals.ts";
import type { NatsAddress } from "../protocol/address.ts";
import type { RunIdentity } from "../protocol/subjects.ts";
import type { WorkerSettings } from "../protocol/worker_settings.ts";
import { keepLines } from "./lines.ts";
import { readMemoryState } from "../engine/memory_limits.ts";

/** Options of the start of workers. */
export interface SpawnOptions {
  readonly count: number;
  readonly run: RunIdentity;
  readonly nats: NatsAddress;
  /** Threads per worker. */
  readonly threads: number;
  /** Seconds without a heartbeat of the coordinator after which a worker ends itself. */
  readonly lostAfter: number;
  /** Shared memory that each worker tries before it joins. */
  readonly segments?: readonly SegmentAddress[];
  /** More environment variables. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Program of the worker (`workers/train_worker.ts` unless set). */
  readonly entry?: string | URL;
  /** Called with each line that a worker prints. */
  readonly onLine?: (index: number, line: string) => void;
}

/** The end of a worker process. */
export interface WorkerExit {
  readonly index: number;
  readonly pid: number;
  readonly code: number;
  /** Such as `SIGKILL`; null when the process exited by itself. */
  readonly signal: string | null;
  /** The kernel's report on memory, where there is one. */
  readonly memory?: {
    readonly limits: readonly string[];
    /** True when the kernel has ended a process for want of memory while this one ran. */
    readonly killed: boolean;
  };
}

/** A worker process that this coordinator started. */
export interface SpawnedWorker {
  readonly index: number;
  readonly pid: number;
  /** Resolves when the process has ended and its output is read. */
  readonly exited: Promise<WorkerExit>;
  /** The exit of the process; undefined while it runs. */
  readonly exit: WorkerExit | undefined;
  /** The last 50 lines that it printed, oldest first. */
  readonly lastLines: readonly string[];
}

const LINES_KEPT = 50;
const CLOSE_MS = 500;
/** Milliseconds in which a signal that ended a worker reaches this process, too. */
const SIGNAL_MS = 500;

/** Starts workers; they end when this process does, when their scope does, or when `stop` is called. */
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
   * Ends all workers: waits `graceMs` for them to end by themselves, then closes their standard input, and half a
   * second later sends SIGKILL. Resolves when none is left.
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
  readonly exited: Promise<WorkerExit>;
  readonly lastLines: string[] = [];
  exit: WorkerExit | undefined;
  readonly #process: Deno.ChildProcess;
  readonly #kills = readMemoryState().kills;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;

  constructor(options: SpawnOptions, index: number) {
    this.index = index;
    this.#process = programCommand(programOf(options), {
      env: { ...threadVariables(options.threads), ...options.env },
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
      // What asks the whole group to stop is heard of here first, lest it look like the loss of a worker.
      if (isStopSignal(signal)) await delay(SIGNAL_MS);
      return this.exit;
    });
  }

  /** Closes the pipe whose end asks the process to end. */
  askToEnd(): void {
    if (!this.exit) this.#stdin.close().catch(() => {}); // the process may be ending already
  }

  /** Ends the process; nothing when it has ended. Workers write no files. */
  kill(): void {
    if (this.exit) return;
    try {
      this.#process.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // TypeError: it has ended this very moment
    }
  }

  /** The pipe stays open: its end informs the worker that this process is gone. */
  #sendSettings({ run, nats, threads, lostAfter, segments = [] }: SpawnOptions): void {
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
      lostAfter,
      segments: segments.map(({ path, bytes, mark }) => ({ path, bytes, mark })),
    };
    const line = new TextEncoder().encode(JSON.stringify(settings) + "\n");
    this.#stdin.write(line).catch(() => {}); // a worker that ends early is noticed by its exit
  }
}

function programOf({ nats, entry = "workers/train_worker.ts" }: SpawnOptions): OwnProgram {
  // A loopback address can be granted alone; a name is resolved to addresses that are not known here.
  const local = /^nats:\/\/(?:[^@/]*@)?(127\.0\.0\.1:\d+)\/?$/.exec(nats.url)?.[1];
  return {
    entry,
    permissions: "worker",
    flags: [local ? `--allow-net=${local}` : "--allow-net"],
  };
}

/** TensorFlow and oneDNN read these as their libraries are loaded. */
function threadVariables(threads: number): Record<string, string> {
  return { OMP_NUM_THREADS: String(threads), TF_NUM_INTRAOP_THREADS: String(threads) };
}

/**
 * Use of the machine's GPUs, as `nvidia-smi` reports it.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import Papa from "../deps/papaparse.ts";
import { orAborted } from "../base/async.ts";
import { cleanUpAtStop } from "../base/signals.ts";
import type { GpuUse } from "../records/metrics_log.ts";

const FIELDS = [
  "index",
  "name",
  "utilization.gpu",
  "memory.used",
  "memory.total",
  "temperature.gpu",
];
const POLL_MS = 5_000;
const TIMEOUT_MS = 4_000;
/** Answers without a GPU, one after the other, after which the program isn't queried any more. */
const MAX_EMPTY_ANSWERS = 3;
/** Longest output that is read, and GPUs and characters of a name that are taken from it. */
const MAX_BYTES = 256 * 1024;
const MAX_GPUS = 256;
const MAX_NAME = 100;
/** Degrees Celsius. */
const MAX_TEMPERATURE = 1_000;
const MEBIBYTE = 2 ** 20;

/**
 * Reads what `nvidia-smi --format=csv,noheader,nounits` prints for {@linkcode FIELDS}; a value that the driver
 * doesn't know (`[N/A]`, `[Not Supported]`), or that can't be, is left out.
 */
export function parseGpuUse(text: string): GpuUse[] {
  const { data } = Papa.parse<string[]>(text.trim(), { delimiter: ",", skipEmptyLines: true });
  const gpus = data.flatMap((row) => {
    const [index, name, utilization, used, total, temperature] = row.map((cell) => cell.trim());
    if (row.length !== FIELDS.length || !/^\d{1,6}$/.test(index)) return [];
    const number = <K extends string>(key: K, cell: string, factor: number, max: number) => {
      if (!/^\d+(\.\d+)?$/.test(cell) || Number(cell) * factor > max) return {};
      return { [key]: Number(cell) * factor } as Record<K, number>;
    };
    return [{
      index: Number(index),
      // deno-lint-ignore no-control-regex -- control characters are what is removed
      name: name.replace(/[\x00-\x1f\x7f-\x9f]/g, "").slice(0, MAX_NAME),
      ...number("utilization", utilization, 0.01, 1),
      ...number("memoryUsedBytes", used, MEBIBYTE, Number.MAX_SAFE_INTEGER),
      ...number("memoryTotalBytes", total, MEBIBYTE, Number.MAX_SAFE_INTEGER),
      ...number("temperature", temperature, 1, MAX_TEMPERATURE),
    }];
  });
  return gpus.slice(0, MAX_GPUS);
}

/** Options of a query of `nvidia-smi`. */
export interface GpuQuery {
  /** Path of the program, or its name on `PATH`. */
  readonly program?: string;
  /** Milliseconds for the answer. */
  readonly timeoutMs?: number;
  /** Ends the program, and the wait for it. */
  readonly signal?: AbortSignal;
}

/**
 * Asks `nvidia-smi` once. Neither a program that hangs, ignores SIGTERM or never stops printing, nor a driver that
 * keeps it in the kernel, is waited for longer than the time limit.
 *
 * @returns No GPUs where the program fails or prints something else; `undefined` where it can't be started
 */
export async function readGpuUse(
  { program = "nvidia-smi", timeoutMs = TIMEOUT_MS, signal }: GpuQuery = {},
): Promise<GpuUse[] | undefined> {
  const limit = AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])]);
  const process = start(program);
  if (!process) return undefined;
  const kill = () => killGroup(process.pid);
  using _atStop = cleanUpAtStop(kill);
  const ended = process.status;
  let isOver = false;
  try {
    const text = await orAborted(readAtMost(process.stdout, MAX_BYTES), limit);
    const { success } = await orAborted(ended, limit);
    isOver = true;
    return success && text !== undefined ? parseGpuUse(text) : [];
  } catch {
    return []; // it took too long, or nobody waits for it any more
  } finally {
    if (!isOver) kill();
    process.unref(); // one that the kernel doesn't let go must not keep this process either
  }
}

/** In a group of its own, since what a hanging script has started must end with it. */
function start(program: string): Deno.ChildProcess | undefined {
  try {
    return new Deno.Command(program, {
      args: [`--query-gpu=${FIELDS.join(",")}`, "--format=csv,noheader,nounits"],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
      detached: true,
    }).spawn();
  } catch {
    return undefined; // there is none, or it is no program
  }
}

function killGroup(pid: number): void {
  try {
    Deno.kill(-pid, "SIGKILL");
  } catch {
    // All of the group have ended.
  }
}

/** A text of at most so many bytes; `undefined` when there are more. The stream is left either way. */
async function readAtMost(
  stream: ReadableStream<Uint8Array>,
  max: number,
): Promise<string | undefined> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of stream) {
    bytes += part.length;
    if (bytes > max) return undefined;
    parts.push(part);
  }
  return new TextDecoder().decode(Buffer.concat(parts));
}

/** Queries the program repeatedly, where there is one; nothing waits for the answers. */
export class GpuWatch implements Disposable {
  readonly #query: GpuQuery;
  readonly #over = new AbortController();
  #timer: ReturnType<typeof setInterval> | undefined;
  #isAsking = false;
  #emptyAnswers = 0;
  /** As of the last answer. */
  use: GpuUse[] = [];

  private constructor(query: GpuQuery) {
    this.#query = { ...query, signal: this.#over.signal };
  }

  /** Begins to ask. */
  static start(query: GpuQuery = {}): GpuWatch {
    const watch = new GpuWatch(query);
    watch.#timer = setInterval(() => void watch.#ask(), POLL_MS);
    void watch.#ask();
    return watch;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#over.abort();
  }

  async #ask(): Promise<void> {
    if (this.#isAsking) return; // a driver that hangs isn't asked twice at once
    this.#isAsking = true;
    const answer = await readGpuUse(this.#query);
    this.#isAsking = false;
    this.use = answer ?? [];
    this.#emptyAnswers = this.use.length > 0 ? 0 : this.#emptyAnswers + 1;
    if (!answer || this.#emptyAnswers >= MAX_EMPTY_ANSWERS) clearInterval(this.#timer);
  }
}

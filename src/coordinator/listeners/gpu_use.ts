/**
 * Use of the machine's GPUs, as `nvidia-smi` reports it.
 *
 * @module
 */
import { cleanName, csvRows, type NvidiaSmiOptions, runNvidiaSmi } from "../../gpus/nvidia_smi.ts";
import type { GpuUse } from "../../records/metrics_log.ts";

const FIELDS = [
  "index",
  "name",
  "utilization.gpu",
  "memory.used",
  "memory.total",
  "temperature.gpu",
];
const POLL_MS = 5_000;
/** Answers without a GPU, one after the other, after which the program isn't queried any more. */
const MAX_EMPTY_ANSWERS = 3;
const MAX_GPUS = 256;
/** Degrees Celsius. */
const MAX_TEMPERATURE = 1_000;
const MEBIBYTE = 2 ** 20;

/**
 * Reads what `nvidia-smi --format=csv,noheader,nounits` prints for {@linkcode FIELDS}; a value that the driver
 * doesn't know (`[N/A]`, `[Not Supported]`), or that can't be, is left out.
 */
export function parseGpuUse(text: string): GpuUse[] {
  const gpus = csvRows(text, FIELDS.length).flatMap((row) => {
    const [index, name, utilization, used, total, temperature] = row;
    if (!/^\d{1,6}$/.test(index)) return [];
    const number = <K extends string>(key: K, cell: string, factor: number, max: number) => {
      if (!/^\d+(\.\d+)?$/.test(cell) || Number(cell) * factor > max) return {};
      return { [key]: Number(cell) * factor } as Record<K, number>;
    };
    return [{
      index: Number(index),
      name: cleanName(name),
      ...number("utilization", utilization, 0.01, 1),
      ...number("memoryUsedBytes", used, MEBIBYTE, Number.MAX_SAFE_INTEGER),
      ...number("memoryTotalBytes", total, MEBIBYTE, Number.MAX_SAFE_INTEGER),
      ...number("temperature", temperature, 1, MAX_TEMPERATURE),
    }];
  });
  return gpus.slice(0, MAX_GPUS);
}

/**
 * Asks `nvidia-smi` once, as {@linkcode runNvidiaSmi} does.
 *
 * @returns No GPUs where the program fails or prints something else; `undefined` where it can't be started
 */
export async function readGpuUse(options: NvidiaSmiOptions = {}): Promise<GpuUse[] | undefined> {
  const query = [`--query-gpu=${FIELDS.join(",")}`, "--format=csv,noheader,nounits"];
  const answer = await runNvidiaSmi(query, options);
  if (answer.kind === "missing") return undefined;
  return answer.kind === "text" ? parseGpuUse(answer.text) : [];
}

/** Queries the program repeatedly, where there is one; nothing waits for the answers. */
export class GpuWatch implements Disposable {
  readonly #query: NvidiaSmiOptions;
  readonly #over = new AbortController();
  #timer: ReturnType<typeof setInterval> | undefined;
  #isAsking = false;
  #emptyAnswers = 0;
  /** As of the last answer. */
  use: GpuUse[] = [];

  private constructor(query: NvidiaSmiOptions) {
    this.#query = { ...query, signal: this.#over.signal };
  }

  /** Begins to ask. */
  static start(query: NvidiaSmiOptions = {}): GpuWatch {
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

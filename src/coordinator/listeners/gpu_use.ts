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
/** Consecutive answers without a GPU after which the program is no longer queried. */
const MAX_EMPTY_ANSWERS = 3;
const MAX_GPUS = 256;
/** Degrees Celsius. */
const MAX_TEMPERATURE = 1_000;
const MEBIBYTE = 2 ** 20;

/**
 * Parses the output of `nvidia-smi --format=csv,noheader,nounits` for {@linkcode FIELDS}. A value that the driver
 * doesn't report (`[N/A]`, `[Not Supported]`), or an impossible value, is left out.
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
 * @returns An empty list if the program fails or prints something else; `undefined` if it can't be started
 */
export async function readGpuUse(options: NvidiaSmiOptions = {}): Promise<GpuUse[] | undefined> {
  const query = [`--query-gpu=${FIELDS.join(",")}`, "--format=csv,noheader,nounits"];
  const answer = await runNvidiaSmi(query, options);
  if (answer.kind === "missing") return undefined;
  return answer.kind === "text" ? parseGpuUse(answer.text) : [];
}

/** Queries `nvidia-smi` repeatedly if it is installed; no caller waits for the answers. */
export class GpuWatch implements Disposable {
  readonly #query: NvidiaSmiOptions;
  readonly #over = new AbortController();
  #timer: ReturnType<typeof setInterval> | undefined;
  #isAsking = false;
  #emptyAnswers = 0;
  /** GPU use according to the last answer. */
  use: GpuUse[] = [];

  private constructor(query: NvidiaSmiOptions) {
    this.#query = { ...query, signal: this.#over.signal };
  }

  /** Starts the queries. */
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

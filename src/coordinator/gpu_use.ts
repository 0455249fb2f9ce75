/**
 * What the machine's GPUs do, asked of `nvidia-smi`.
 *
 * @module
 */
// @ts-types="@types/papaparse"
import Papa from "papaparse";
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
const MEBIBYTE = 2 ** 20;

/**
 * Reads what `nvidia-smi --format=csv,noheader,nounits` prints for {@linkcode FIELDS}; a value that the driver
 * doesn't know (`[N/A]`, `[Not Supported]`) is left out.
 */
export function parseGpuUse(text: string): GpuUse[] {
  const { data } = Papa.parse<string[]>(text.trim(), { skipEmptyLines: true });
  return data.flatMap((row) => {
    const [index, name, utilization, used, total, temperature] = row.map((cell) => cell.trim());
    if (row.length !== FIELDS.length || !/^\d+$/.test(index)) return [];
    const number = <K extends string>(key: K, cell: string, factor: number) =>
      /^\d+(\.\d+)?$/.test(cell) ? { [key]: Number(cell) * factor } as Record<K, number> : {};
    return [{
      index: Number(index),
      name,
      ...number("utilization", utilization, 0.01),
      ...number("memoryUsedBytes", used, MEBIBYTE),
      ...number("memoryTotalBytes", total, MEBIBYTE),
      ...number("temperature", temperature, 1),
    }];
  });
}

/** Asks once; no GPUs where there is no such program, or where it fails. */
export async function readGpuUse(program = "nvidia-smi"): Promise<GpuUse[]> {
  try {
    const { success, stdout } = await new Deno.Command(program, {
      args: [`--query-gpu=${FIELDS.join(",")}`, "--format=csv,noheader,nounits"],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    }).output();
    return success ? parseGpuUse(new TextDecoder().decode(stdout)) : [];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied) {
      return [];
    }
    throw error;
  }
}

/** Asks again and again, where there was an answer at all. */
export class GpuWatch implements Disposable {
  #timer: ReturnType<typeof setInterval> | undefined;
  #isAsking = false;
  /** As of the last answer. */
  use: GpuUse[] = [];

  /** Begins to ask. */
  static async start(): Promise<GpuWatch> {
    const watch = new GpuWatch();
    watch.use = await readGpuUse();
    if (watch.use.length > 0) watch.#timer = setInterval(() => void watch.#ask(), POLL_MS);
    return watch;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async #ask(): Promise<void> {
    if (this.#isAsking) return; // a driver that hangs isn't asked twice at once
    this.#isAsking = true;
    // Whatever is wrong with the driver, training need not end for it.
    this.use = await readGpuUse().catch(() => []);
    this.#isAsking = false;
  }
}

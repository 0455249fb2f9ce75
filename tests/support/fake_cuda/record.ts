/**
 * The records that processes on a fake machine write about what they did with its GPUs: see driver/record.c.
 *
 * @module
 */
import { dirname, join } from "node:path";

/** Record of one process and its GPUs. */
export interface CudaRecord {
  readonly pid: number;
  readonly initCalls: number;
  /** Result of the last `cuInit`. */
  readonly initCode: number;
  /** Times that the host waited. */
  readonly hostSyncs: number;
  /** Parts of the host's memory that are pinned. */
  readonly pinnedRanges: number;
  /** Streams that were made and not destroyed. */
  readonly openStreams: number;
  /** The devices that CUDA showed to the process. */
  readonly devices: readonly DeviceRecord[];
  readonly errors: readonly {
    readonly call: string;
    readonly code: number;
    readonly count: number;
  }[];
  /** Calls of functions that the fake has no code for. */
  readonly stubs: Readonly<Record<string, number>>;
  /**
   * Launches by the name of the kernel, as the compiler mangles it, or of the function of cuBLAS or cuDNN; `tensor …` are
   * those of cuDNN's tensors, by the type of their elements.
   */
  readonly kernels: Readonly<Record<string, number>>;
}

/** Record of one process and one device: counts of copies and of bytes, up to the device, down and within. */
export interface DeviceRecord {
  readonly uuid: string;
  readonly hasContext: boolean;
  readonly isLost: boolean;
  /** Kernels, those of `libraryCalls` included. */
  readonly launches: number;
  /** Kernels of cuBLAS and cuDNN. */
  readonly libraryCalls: number;
  readonly copiesUp: number;
  readonly bytesUp: number;
  readonly copiesDown: number;
  readonly bytesDown: number;
  readonly copiesWithin: number;
  readonly bytesWithin: number;
  readonly usedBytes: number;
  readonly peakBytes: number;
}

/** The copies between host and device. */
export type Copies = Pick<DeviceRecord, "copiesUp" | "bytesUp" | "copiesDown" | "bytesDown">;

/** Returns the folder of the records, in a process on the machine. */
export function recordFolder(): string {
  return join(dirname(Deno.env.get("FAKE_CUDA_MACHINE") ?? ""), "records");
}

/** Reads one process's record. */
export async function readRecord(path: string): Promise<CudaRecord> {
  return JSON.parse(await Deno.readTextFile(path));
}

/** Reads all records of a folder, by process id. */
export async function readRecords(folder: string): Promise<CudaRecord[]> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  const files = names.filter((name) => name.endsWith(".json"));
  const records = await Promise.all(files.map((name) => readRecord(join(folder, name))));
  return records.sort((a, b) => a.pid - b.pid);
}

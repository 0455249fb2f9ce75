/**
 * The NVIDIA GPUs of this machine, as `nvidia-smi` lists them.
 *
 * @module
 */
import { cleanName, csvRows, type NvidiaSmiOptions, runNvidiaSmi } from "./nvidia_smi.ts";

/** A MIG instance: a part of a GPU with memory and compute units of its own. */
export interface MigInstance {
  /** `MIG-…`, by which CUDA names it. */
  readonly uuid: string;
  /** Such as `1g.10gb`. */
  readonly profile: string;
}

/** A process that computes on a GPU. */
export interface GpuProcess {
  readonly pid: number;
  /** Memory of the GPU that it holds, where the driver says. */
  readonly memoryBytes?: number;
}

/** A GPU. */
export interface Gpu {
  /** Position in PCI order, from 0, as `nvidia-smi` counts. */
  readonly index: number;
  /** `GPU-…`. */
  readonly uuid: string;
  readonly name: string;
  /** Such as `00000000:3B:00.0`. */
  readonly pciBusId: string;
  /** Such as `550.54.15`. */
  readonly driverVersion: string;
  /** Such as 8.9; unknown to drivers before 470. */
  readonly computeCapability?: number;
  readonly memoryTotalBytes?: number;
  /** Memory in use, of all processes. */
  readonly memoryUsedBytes?: number;
  /** True when the GPU computes through its MIG instances alone. */
  readonly isMig: boolean;
  /** In the driver's order; empty unless MIG mode is on and instances were made. */
  readonly migInstances: readonly MigInstance[];
  /** `Exclusive_Process` lets one process at a time use the GPU, `Prohibited` none. */
  readonly computeMode: string;
  /** Processes that compute on it. */
  readonly processes: readonly GpuProcess[];
}

/** The GPUs, or why they can't be listed. */
export interface GpuListing {
  /** By index. */
  readonly gpus: readonly Gpu[];
  /** Completes "nvidia-smi …"; absent when it answered, or when there is none. */
  readonly problem?: string;
  /** False when there is no `nvidia-smi`. */
  readonly hasProgram: boolean;
}

const FIELDS = [
  "index",
  "uuid",
  "name",
  "pci.bus_id",
  "driver_version",
  "compute_cap",
  "memory.total",
  "memory.used",
  "mig.mode.current",
  "compute_mode",
] as const;
const CSV = "--format=csv,noheader,nounits";
const MEBIBYTE = 2 ** 20;
const MAX_GPUS = 256;

/**
 * Lists the GPUs of this machine, whatever `CUDA_VISIBLE_DEVICES` says: `nvidia-smi` doesn't read it.
 *
 * An answer that makes no sense is a problem, never a shorter list.
 */
export async function listGpus(options: NvidiaSmiOptions = {}): Promise<GpuListing> {
  const answer = await runNvidiaSmi([`--query-gpu=${FIELDS.join(",")}`, CSV], options);
  if (answer.kind === "missing") return { gpus: [], hasProgram: false };
  if (answer.kind === "failed") return { gpus: [], hasProgram: true, problem: answer.reason };
  const { gpus, problem } = parseGpus(answer.text);
  if (problem !== undefined) return { gpus: [], hasProgram: true, problem };
  const [instances, processes] = await Promise.all([
    gpus.some(({ isMig }) => isMig) ? text(["-L"], options) : "",
    text(["--query-compute-apps=gpu_uuid,pid,used_memory", CSV], options),
  ]);
  const migInstances = parseMigInstances(instances);
  const users = parseProcesses(processes);
  return {
    hasProgram: true,
    gpus: gpus.map((gpu) => ({
      ...gpu,
      migInstances: migInstances.get(gpu.uuid) ?? [],
      processes: users.get(gpu.uuid) ?? [],
    })),
  };
}

/** Returns what the program prints, or an empty text: these answers only add to the list. */
async function text(args: readonly string[], options: NvidiaSmiOptions): Promise<string> {
  const answer = await runNvidiaSmi(args, options);
  return answer.kind === "text" ? answer.text : "";
}

/** Reads the answer to the query of {@linkcode FIELDS}. */
export function parseGpus(
  text: string,
): { gpus: Omit<Gpu, "migInstances" | "processes">[]; problem?: string } {
  const lines = text.trim() === "" ? 0 : text.trim().split("\n").length;
  const rows = csvRows(text, FIELDS.length);
  const gpus = rows.slice(0, MAX_GPUS).flatMap((row) => {
    const [index, uuid, name, bus, driver, capability, total, used, mig, mode] = row;
    if (!/^\d{1,6}$/.test(index!) || !/^GPU-[0-9a-f-]+$/i.test(uuid!)) return [];
    return [{
      index: Number(index),
      uuid: uuid!,
      name: cleanName(name!),
      pciBusId: cleanName(bus!),
      driverVersion: cleanName(driver!),
      ...optional("computeCapability", capability!, 1),
      ...optional("memoryTotalBytes", total!, MEBIBYTE),
      ...optional("memoryUsedBytes", used!, MEBIBYTE),
      isMig: mig === "Enabled",
      computeMode: cleanName(mode!),
    }];
  });
  if (gpus.length < Math.min(lines, MAX_GPUS)) {
    return { gpus: [], problem: `printed something else than a list of GPUs: ${shown(text)}` };
  }
  return { gpus: gpus.sort((a, b) => a.index - b.index) };
}

function shown(text: string): string {
  return cleanName(text.trim().split("\n", 1)[0] ?? "");
}

/** A number that the driver knows; `[N/A]` and the like are left out. */
function optional<K extends string>(
  key: K,
  cell: string,
  factor: number,
): Partial<Record<K, number>> {
  return /^\d{1,9}(\.\d{1,6})?$/.test(cell)
    ? { [key]: Number(cell) * factor } as Record<K, number>
    : {};
}

/** Reads the MIG instances of `nvidia-smi -L`, by the UUID of their GPU. */
export function parseMigInstances(text: string): Map<string, MigInstance[]> {
  const found = new Map<string, MigInstance[]>();
  let own: MigInstance[] = [];
  for (const line of text.split("\n")) {
    const gpu = /^GPU \d+: .*\(UUID: (GPU-[0-9a-f-]+)\)/i.exec(line);
    if (gpu) found.set(gpu[1]!, own = []);
    const mig = /^\s+MIG\s+(\S+)\s+Device\s+\d+:\s+\(UUID: (MIG-[^)\s]+)\)/i.exec(line);
    if (mig) own.push({ profile: cleanName(mig[1]!), uuid: mig[2]! });
  }
  return found;
}

/** Reads the processes of `--query-compute-apps`, by the UUID of their GPU. */
export function parseProcesses(text: string): Map<string, GpuProcess[]> {
  const found = new Map<string, GpuProcess[]>();
  for (const [uuid, pid, memory] of csvRows(text, 3)) {
    if (!/^\d{1,9}$/.test(pid!)) continue;
    const process = { pid: Number(pid), ...optional("memoryBytes", memory!, MEBIBYTE) };
    found.set(uuid!, [...found.get(uuid!) ?? [], process]);
  }
  return found;
}

/** Returns what keeps a GPU in MIG mode from computing, in a sentence with its cure; nothing for others. */
export function migProblem({ isMig, migInstances, index, name }: Gpu): string | undefined {
  if (!isMig || migInstances.length > 0) return undefined;
  return `GPU ${index}, ${name} is in MIG mode without instances: an administrator makes them with ` +
    `nvidia-smi mig -cgi … -C, or ends the mode with nvidia-smi -i ${index} -mig 0`;
}

/**
 * The CPUs near a GPU: those of its NUMA node.
 *
 * @module
 */
import { join } from "node:path";
import { readRegularText } from "../base/regular_file.ts";

/** CPUs of a NUMA node. */
export interface NumaNode {
  readonly node: number;
  /** Numbers of its CPUs, ascending. */
  readonly cpus: readonly number[];
}

/** More CPUs than any machine has: a list that names more is wrong. */
const MAX_CPUS = 8192;

/**
 * Returns the NUMA node of a PCI device; nothing where the machine has one node only, or the kernel doesn't know.
 *
 * @param pciBusId As `nvidia-smi` writes it, such as `00000000:3B:00.0`
 * @param sys Folder of the kernel's files
 */
export async function numaNodeOf(pciBusId: string, sys = "/sys"): Promise<NumaNode | undefined> {
  const match = /^(?:[0-9a-f]{4})?([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f])$/i.exec(pciBusId);
  if (!match) return undefined;
  const address = match[1]!.toLowerCase();
  const node = Number((await readText(join(sys, "bus/pci/devices", address, "numa_node"))) ?? -1);
  if (!Number.isInteger(node) || node < 0) return undefined;
  const list = await readText(join(sys, "devices/system/node", `node${node}`, "cpulist"));
  const cpus = list === undefined ? [] : parseCpuList(list);
  return cpus.length > 0 ? { node, cpus } : undefined;
}

/** Reads a list of CPUs as the kernel writes it, such as `0-3,8-11`; empty when it is something else. */
export function parseCpuList(text: string): number[] {
  const cpus: number[] = [];
  for (const range of text.trim().split(",")) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(range);
    if (!match) return [];
    const first = Number(match[1]), last = Number(match[2] ?? match[1]);
    if (last < first || last >= MAX_CPUS) return [];
    for (let cpu = first; cpu <= last; cpu++) cpus.push(cpu);
  }
  return cpus;
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return (await readRegularText(path)).trim();
  } catch {
    return undefined; // the kernel has no such file, or doesn't show it to this process
  }
}

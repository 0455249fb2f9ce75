/**
 * Micro-batches of a run that has fewer workers than at its start, where a share of a step no longer fits into the memory
 * of a GPU.
 *
 * @module
 */
import type { ComputeDevice } from "../../base/compute_device.ts";
import { counted, formatMemory } from "../../base/format.ts";
import {
  describeUsable,
  estimatedBytes,
  memoryNeed,
  smallestGpu,
  usableMemory,
} from "./check_gpu_memory.ts";
import { describeMicroBatches } from "./micro_batches_note.ts";
import type { PreparedRun } from "./prepare.ts";

/** A decision about the workers that are left. */
export interface RowLimit {
  /** The most rows that a worker computes at once: as many as it did at the start, with more workers. */
  readonly mostRows: number;
  /** The decision and its reason. */
  readonly note: string;
}

/**
 * Limits the rows that a worker computes at once, where all of its share would take more memory than its GPU has.
 *
 * @param workers Those that are left
 * @param devices Theirs
 * @returns Nothing where the estimate fits, or no GPU's memory is known
 */
export function limitRows(
  { config, replica, plan }: Pick<PreparedRun, "config" | "replica" | "plan">,
  workers: number,
  devices: readonly ComputeDevice[],
): RowLimit | undefined {
  const smallest = smallestGpu(devices);
  if (!smallest) return undefined;
  const { engine: { gpuMemory }, train } = config;
  const { rows: mostRows } = memoryNeed(config, replica, plan);
  const need = memoryNeed({ ...config, workers }, replica, plan);
  const needed = estimatedBytes(need);
  if (need.rows <= mostRows || needed <= usableMemory(gpuMemory, smallest.memoryBytes)) {
    return undefined;
  }
  const limited = { ...train, accumulationSteps: 1, microBatchSize: mostRows };
  const parts = describeMicroBatches(
    { workers, train: limited },
    plan.training.globalBatch,
    replica.model,
  );
  const note =
    `With ${counted(workers, "worker")}, ${counted(need.rows, "image")} at once take about ` +
    `${formatMemory(needed)} of GPU memory by an estimate, but ${
      describeUsable(gpuMemory, smallest)
    }. ${parts}`;
  return { mostRows, note };
}

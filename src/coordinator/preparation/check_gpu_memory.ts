/**
 * Refuses a batch that can't fit into the memory of a worker's GPU, before anything starts.
 *
 * @module
 */
import type { ComputeDevice, ComputeGpu } from "../../base/compute_device.ts";
import { counted, formatMemory } from "../../base/format.ts";
import { UsageError } from "../../base/errors.ts";
import { naming } from "../../base/invocation.ts";
import type { Config } from "../../config/schema.ts";
import { shareOf } from "../../data/loading/sampler.ts";
import { outputSize } from "../../data/transforms/transform_specs.ts";
import { type ActivationSizes, activationSizes } from "../../models/activation_sizes.ts";
import { largestMicroBatch } from "../../train/micro_batches.ts";
import type { Replica } from "../../train/replica.ts";
import type { RunPlan } from "../../train/run_plan.ts";

const FLOAT_BYTES = 4;
/** Share of the memory that a suggested batch fills: the CUDA context and cuDNN's workspaces need some, too. */
const USABLE_SHARE = 0.85;

/** The memory that a worker's step needs, in bytes. */
export interface MemoryNeed {
  /** Parameters and their gradients. */
  readonly fixed: number;
  /** Activations of one image, and the image itself. */
  readonly perImage: ActivationSizes;
  /** Images that a worker computes at once. */
  readonly rows: number;
}

/**
 * Checks the memory of the smallest GPU.
 *
 * @returns A warning where the estimate is above the memory; nothing where it fits, or isn't known
 * @throws {UsageError} where even the least that a step takes doesn't fit, naming a batch that would
 */
export function checkGpuMemory(
  config: Config,
  replica: Replica,
  plan: RunPlan,
  devices: readonly ComputeDevice[],
): string | undefined {
  const smallest = smallestGpu(devices);
  return smallest && judgeMemory(config, smallest, memoryNeed(config, replica, plan));
}

/** Returns the memory that the step of a worker with the largest share needs. */
export function memoryNeed(
  config: Config,
  { model, state }: Replica,
  { training: { globalBatch } }: RunPlan,
): MemoryNeed {
  const size = outputSize(config.data.train)!;
  const image = FLOAT_BYTES * size[0] * size[1] * 3;
  const { least, estimated } = activationSizes(model, size);
  const share = shareOf(globalBatch, 0, config.workers).rows;
  return {
    fixed: FLOAT_BYTES * (floatsOf(state.parameters) + floatsOf(state.trainable)),
    perImage: { least: least + image, estimated: estimated + image },
    rows: largestMicroBatch(share, config.train),
  };
}

function floatsOf(parameters: Replica["state"]["parameters"]): number {
  return parameters.reduce((sum, { variable }) => sum + variable.size, 0);
}

/** The GPU with the least memory; nothing where no GPU's memory is known. */
export function smallestGpu(devices: readonly ComputeDevice[]): ComputeGpu | undefined {
  return devices.flatMap((device) =>
    device.kind === "gpu" && device.memoryBytes !== undefined ? [device] : []
  ).sort((a, b) => a.memoryBytes! - b.memoryBytes!)[0];
}

/** Compares a need with the memory that a worker may take of a GPU; as {@linkcode checkGpuMemory}. */
export function judgeMemory(
  { train, workers, engine: { gpuMemory = 1 } }: Pick<Config, "train" | "workers" | "engine">,
  { index, name, memoryBytes = Infinity }: ComputeGpu,
  { fixed, perImage, rows }: MemoryNeed,
): string | undefined {
  const limit = usableMemory(gpuMemory, memoryBytes);
  const needed = estimatedBytes({ fixed, perImage, rows });
  if (needed <= limit) return undefined;
  const fitting = Math.floor((USABLE_SHARE * limit - fixed) / perImage.estimated);
  const cure = fitting >= 1
    ? `set ${fittingSettings({ train, workers }, fitting).join(", or ")}`
    : "not even one image fits; use smaller images or a smaller network";
  const has = describeUsable(gpuMemory, { index, name, memoryBytes });
  const text = `A worker computes ${counted(rows, "image")} at once, which takes about ${
    formatMemory(needed)
  } of GPU memory by an estimate (${formatMemory(fixed)} for parameters and gradients, ${
    formatMemory(perImage.estimated)
  } per image), but ${has}: ${cure}`;
  if (fixed + rows * perImage.least > limit) throw new UsageError(text);
  return text;
}

/** Returns the bytes of a GPU that a worker may take. */
export function usableMemory(gpuMemory = 1, memoryBytes = Infinity): number {
  return gpuMemory <= 1 ? gpuMemory * memoryBytes : Math.min(gpuMemory, memoryBytes);
}

/** Returns the bytes that a step takes by the estimate. */
export function estimatedBytes({ fixed, perImage, rows }: MemoryNeed): number {
  return fixed + rows * perImage.estimated;
}

/** Returns a clause about the memory of a GPU that a worker may take. */
export function describeUsable(
  gpuMemory = 1,
  { index, name, memoryBytes = Infinity }: Pick<ComputeGpu, "index" | "name" | "memoryBytes">,
): string {
  return gpuMemory === 1
    ? `GPU ${index}, ${name} has ${formatMemory(memoryBytes)}`
    : `engine.gpuMemory leaves ${
      formatMemory(usableMemory(gpuMemory, memoryBytes))
    } of GPU ${index}, ${name}`;
}

/** Settings with which a worker computes at most so many images at once, each as `key to value`. */
function fittingSettings({ train, workers }: Pick<Config, "train" | "workers">, fitting: number) {
  const { accumulationSteps, microBatchSize, batchSize } = train;
  const instead = accumulationSteps > 1 ? " in the place of train.accumulationSteps" : "";
  const micro = `train.microBatchSize to ${fitting} or less${instead}`;
  if (microBatchSize !== undefined) return [micro];
  const isPerWorker = batchSize === undefined;
  const key = naming(isPerWorker ? "train.batchSizePerWorker" : "train.batchSize");
  return [micro, `${key} to ${fitting * accumulationSteps * (isPerWorker ? 1 : workers)} or less`];
}

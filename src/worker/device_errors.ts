/**
 * Errors of a worker's GPU, in sentences with their cures.
 *
 * @module
 */
import type { ComputeDevice } from "../base/compute_device.ts";
import { deviceName } from "../base/compute_device.ts";
import { LockstepError, messageOf } from "../base/errors.ts";
import { counted, formatMemory } from "../base/format.ts";
import type { DeviceMemory } from "../engine/binding/cuda_driver.ts";
import { cudaProblemIn, ON_CPU } from "../engine/binding/cuda_problems.ts";
import { EngineError } from "../engine/binding/status.ts";
import { openEngine } from "../engine/engine.ts";
import { VALIDATION_FACTOR } from "../train/run_plan.ts";

/** The work that a GPU failed at. */
export interface DeviceWork {
  /** `validation` is that of a run, `evaluation` that of a trained model. */
  readonly kind: "training" | "validation" | "evaluation";
  readonly device: ComputeDevice;
  /** Images of the batch that this worker computes at once. */
  readonly rows: number;
  /** `train.accumulationSteps`, where a run trains. */
  readonly accumulationSteps?: number | undefined;
  /** `engine.gpuMemory`, where it is set. */
  readonly gpuMemory?: number | undefined;
  /** Memory of the GPU now, where the driver says it. */
  readonly memory?: DeviceMemory | undefined;
}

/** Messages about device memory that ran out, of TensorFlow's allocator, of cuDNN, cuBLAS and the driver. */
const OUT_OF_MEMORY =
  /OOM when allocating|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation|failed to allocate memory|out of memory|CUDNN_STATUS_ALLOC_FAILED|CUBLAS_STATUS_ALLOC_FAILED/i;
const FLOAT_BYTES = 4;

/**
 * Runs an action, and explains an error that the GPU has caused. Other errors, and all of the CPU, stay as they are.
 *
 * @throws what the action throws, or a {@linkcode LockstepError} with that as its cause
 */
export async function explainingDeviceErrors<T>(
  work: Omit<DeviceWork, "memory">,
  action: () => Promise<T>,
): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (work.device.kind !== "gpu" || !engineErrorOf(error)) throw error;
    const { gpu } = await openEngine();
    throw explainDeviceError(error, { ...work, memory: gpu?.memory() });
  }
}

/** Returns the error to throw in the place of one that a GPU has caused; other errors stay as they are. */
export function explainDeviceError(error: unknown, work: DeviceWork): unknown {
  const native = engineErrorOf(error);
  if (work.device.kind !== "gpu" || !native) return error;
  if (native.code === "RESOURCE_EXHAUSTED" || OUT_OF_MEMORY.test(native.message)) {
    return new LockstepError(describeExhaustion(native, work), { cause: error });
  }
  const problem = cudaProblemIn(native.message);
  if (problem === undefined) return error;
  const name = deviceName(work.device);
  return new LockstepError(`${name} failed: ${problem}, ${ON_CPU} (${messageOf(native)})`, {
    cause: error,
  });
}

/** Returns the native error among an error and its causes. */
function engineErrorOf(error: unknown): EngineError | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof EngineError) return cause;
  }
  return undefined;
}

function describeExhaustion({ message }: EngineError, work: DeviceWork): string {
  const { kind, device, rows, memory, gpuMemory } = work;
  const shape = /shape ?\[([\d,]+)\] and type float/.exec(message)?.[1];
  const asked = shape === undefined
    ? ""
    : ` (a tensor of shape [${shape}], ${
      formatMemory(shape.split(",").reduce((product, size) => product * Number(size), FLOAT_BYTES))
    }, found no room)`;
  const state = memory &&
    `${formatMemory(memory.totalBytes - memory.freeBytes)} of ${
      formatMemory(memory.totalBytes)
    } are in use, ${formatMemory(memory.freeBytes)} free`;
  const limit = gpuMemory === undefined
    ? undefined
    : `engine.gpuMemory allows ${gpuMemory <= 1 ? `${gpuMemory} of it` : formatMemory(gpuMemory)}`;
  const facts = [state, limit].filter((each) => each !== undefined).join("; ");
  return `The memory of ${deviceName(device)} ran out while this worker computed ${
    counted(rows, "image")
  } at once in ${kind}${asked}${facts === "" ? "" : `; ${facts}`}: ${curesFor(work).join(", ")}`;
}

function curesFor(work: DeviceWork): string[] {
  const { gpuMemory } = work;
  return [
    ...batchCures(work),
    "make the images smaller (the last size in data.train and data.val)",
    ...(gpuMemory === undefined ? [] : ["raise engine.gpuMemory"]),
    "end other programs on this GPU (nvidia-smi), or take one with more memory (--devices)",
  ];
}

/** Settings by which a worker computes fewer images at once: half as many, where that is possible. */
function batchCures({ kind, rows, accumulationSteps = 1 }: DeviceWork): string[] {
  if (rows <= 1) return [];
  if (kind === "evaluation") {
    return ["use a smaller batch, which for a run is four times train.batchSize"];
  }
  const isTraining = kind === "training";
  const size = Math.floor(rows / 2 / (isTraining ? 1 : VALIDATION_FACTOR));
  const of = isTraining
    ? "the same batch in smaller parts"
    : `training in parts of that size, and validation in parts of ${VALIDATION_FACTOR} times that`;
  const instead = accumulationSteps > 1 ? " in the place of train.accumulationSteps" : "";
  return [
    ...(size < 1 ? [] : [`set train.microBatchSize to ${size}${instead} (${of})`]),
    `${size < 1 ? "set" : "or"} a smaller train.batchSize`,
  ];
}

/**
 * The device of a worker: its threads are bound to the CPUs near it, and it is the only one that is opened.
 *
 * @module
 */
import { type ComputeDevice, deviceName, type OpenedDevice } from "../base/compute_device.ts";
import { LockstepError, messageOf } from "../base/errors.ts";
import { given } from "../base/given.ts";
import type { Config } from "../config/schema.ts";
import { openEngine } from "../engine/engine.ts";
import { bindThreads } from "../gpus/bind_threads.ts";
import type { WorkerSettings } from "../protocol/worker_settings.ts";

/** The device, the library and the threads of a worker's engine. */
export interface EngineSettings
  extends Pick<WorkerSettings, "device" | "libraryPath" | "threads" | "isReplacement"> {
  /** Number of the CPUs that the worker's threads are bound to, where they are. */
  readonly boundCpus?: number;
}

/** The keys of a job that the engine is opened with. */
export interface OpeningJob {
  readonly verbose: boolean;
  readonly config: {
    readonly engine: Pick<Config["engine"], "gpuMemory" | "precision" | "deterministic">;
  };
}

/**
 * Binds this thread, and those that it starts from now on, to the CPUs of the device's NUMA node.
 *
 * @returns The number of these CPUs; `undefined` where nothing is bound
 */
export function bindToDevice(device: ComputeDevice): number | undefined {
  if (device.kind !== "gpu" || !device.numa) return undefined;
  return bindThreads(device.numa.cpus).length || undefined;
}

/**
 * Opens the engine on the worker's device. A worker that was given a GPU never goes on on the CPU.
 *
 * @throws {UsageError} when TensorFlow opens no GPU
 * @throws {LockstepError} when it opens several; or none in a worker that replaces a lost one, whose device has failed
 *   since
 */
export async function openDevice(
  settings: EngineSettings,
  job: OpeningJob,
): Promise<OpenedDevice> {
  const { device, isReplacement } = settings;
  if (device.kind !== "gpu" || !isReplacement) return await open(settings, job);
  return await open(settings, job).catch((cause) => {
    throw new LockstepError(
      `${deviceName(device)} can't be opened again: ${messageOf(cause)}`,
      { cause },
    );
  });
}

async function open(
  { device, libraryPath, threads, boundCpus }: EngineSettings,
  { verbose, config }: OpeningJob,
): Promise<OpenedDevice> {
  // More threads than CPUs only wait for each other.
  const used = Math.min(threads, boundCpus ?? threads);
  const { devices } = await openEngine({
    device: device.kind,
    ...(device.kind === "gpu" ? { gpu: device.uuid } : {}),
    ...given("libraryPath", libraryPath),
    gpuMemory: config.engine.gpuMemory,
    precision: config.engine.precision,
    deterministic: config.engine.deterministic,
    threads: { intraOp: used, interOp: used },
    verbose,
  });
  const gpus = devices.filter(({ type }) => type === "GPU");
  if (device.kind === "gpu" && gpus.length !== 1) {
    throw new LockstepError(
      `This worker was given ${
        deviceName(device)
      } (${device.uuid}), but TensorFlow opened ${gpus.length} GPUs`,
    );
  }
  return {
    kind: device.kind,
    name: deviceName(device),
    ...(device.kind === "gpu" ? { uuid: device.uuid, index: device.index } : {}),
    ...(device.kind === "gpu" && device.numa ? { numaNode: device.numa.node } : {}),
    ...given("boundCpus", boundCpus),
    tensorflow: devices.map(({ name }) => name.replace(/^.*device:/, "")),
  };
}

/**
 * The devices of a run, and with them the number of its workers.
 *
 * @module
 */
import type { LibtensorflowBuild } from "../../base/libtensorflow_path.ts";
import type { ComputeDevice } from "../../base/compute_device.ts";
import { type Config, type LoadedConfig, withWorkers } from "../../config/schema.ts";
import { findDevices, type Surroundings } from "../../gpus/find_devices.ts";
import { checkNccl } from "./check_nccl.ts";

/** A config whose devices and workers are decided. */
export interface DecidedRun {
  readonly config: Config;
  /** One per worker, in the order of the ranks. */
  readonly devices: readonly ComputeDevice[];
  /** The build of libtensorflow that computes on them. */
  readonly build: LibtensorflowBuild;
  /** Sentences about what a person should know. */
  readonly warnings: readonly string[];
}

/**
 * Decides the devices of a run, and the number of its workers where its config leaves it open.
 *
 * @param machine This one unless given
 * @throws {UsageError} when GPUs can't be used as the config wishes, by its exchange either
 */
export async function decideDevices(
  config: LoadedConfig,
  machine?: Surroundings,
): Promise<DecidedRun> {
  const found = await findDevices(config, machine);
  checkNccl(config, found.devices);
  return { ...found, config: withWorkers(config, found.devices.length) };
}

/**
 * The devices of a run, and with them the number of its workers.
 *
 * @module
 */
import type { LibtensorflowBuild } from "../../base/libtensorflow_path.ts";
import type { ComputeDevice } from "../../base/compute_device.ts";
import { type Config, type LoadedConfig, withWorkers } from "../../config/schema.ts";
import { claimDevices } from "../../gpus/claim_devices.ts";
import { cpuDevices, type Surroundings } from "../../gpus/find_devices.ts";
import { layoutOf, sumOf } from "../../hosts/layout.ts";
import { checkNccl } from "./check_nccl.ts";

/** A config whose devices and workers are decided. */
export interface DecidedRun {
  readonly config: Config;
  /** Workers of each host, in order; this one is the first. */
  readonly layout: readonly number[];
  /** One per worker of this host, in the order of the ranks. */
  readonly devices: readonly ComputeDevice[];
  /** The build of libtensorflow that computes on them. */
  readonly build: LibtensorflowBuild;
  /** Sentences about what a person should know. */
  readonly warnings: readonly string[];
}

/**
 * Decides the devices of a run, and the number of its workers where its config leaves it open. No other run of this host
 * gets its GPUs until the result is disposed of.
 *
 * @param machine This one unless given
 * @throws {UsageError} when GPUs can't be used as the config wishes, by its exchange either, or other runs hold them
 */
export async function decideDevices(
  config: LoadedConfig,
  machine?: Surroundings,
): Promise<DecidedRun & Disposable> {
  const { name, device, devices, workers, hosts, engine: { shareGpus } } = config;
  const isOpen = workers === undefined && hosts.workers === undefined;
  const given = isOpen ? undefined : layoutOf(hosts, workers);
  const own = given?.[0];
  const wishes = { device, devices, workers: own, sharesHeld: shareGpus };
  const { [Symbol.dispose]: release, ...found } = own === 0
    ? { ...cpuDevices(0), [Symbol.dispose]: () => {} } // the coordinator needs no device
    : await claimDevices(wishes, { run: name }, machine);
  using stack = new DisposableStack();
  stack.defer(release);
  if (own !== 0) checkNccl(config, found.devices);
  // Other hosts have as many as this one, unless it is said.
  const layout = given ?? layoutOf(hosts, hosts.count * found.devices.length);
  const total = sumOf(layout);
  const held = stack.move();
  return {
    ...found,
    layout,
    config: withWorkers(config, total),
    [Symbol.dispose]: () => held.dispose(),
  };
}

/**
 * The number of workers of a resumed run.
 *
 * @module
 */
import { join } from "node:path";
import { exists } from "../../base/paths.ts";
import { followPointers } from "../../base/pointer.ts";
import type { LoadedConfig } from "../../config/schema.ts";
import { runConfig } from "../../inference/checkpoint_config.ts";

/** Gives a config that leaves the number of workers open that of the run to resume, if there is one. */
export async function keepWorkers(
  config: LoadedConfig,
  resumed: string | undefined,
): Promise<LoadedConfig> {
  const isOpen = config.workers === undefined && config.hosts.workers === undefined;
  if (!isOpen || resumed === undefined) return config;
  const folder = await followPointers(resumed);
  if (!await exists(join(folder, "config.yaml"))) return config; // the run's origin says what is wrong
  return { ...config, workers: (await runConfig(folder)).workers };
}

/**
 * The folder of a run's images on a host other than the coordinator's.
 *
 * @module
 */
import { messageOf, UsageError } from "../../base/errors.ts";
import { ensureDataRoot } from "../../provision/data_root.ts";
import type { Progress } from "../../provision/progress.ts";
import type { DataConfig } from "../config.ts";

/** The places that a config names, and the host's own. */
export interface HostRootOptions {
  readonly data: Pick<DataConfig, "dataset" | "root" | "module">;
  /** The host's own folder or archive; unless given, the place that the config names. */
  readonly folder?: string | undefined;
  /** This host at the beginning of a sentence, such as `Host 1 (b)`. */
  readonly hostName: string;
  readonly progress: Progress;
}

/**
 * Makes sure that a host's images are there: a data set by name is downloaded, an archive unpacked.
 *
 * @returns The folder, which may be missing; a data module's URL
 * @throws {UsageError} naming the host
 */
export async function hostRoot(
  { data, folder, hostName, progress }: HostRootOptions,
): Promise<string> {
  if (folder !== undefined && data.module) {
    throw new UsageError(
      `${hostName} was given the folder ${
        JSON.stringify(folder)
      } by --data, but the run's samples come from ` +
        `data.module (${data.module}): leave --data out`,
    );
  }
  try {
    return await ensureDataRoot(folder === undefined ? data : { root: folder }, progress);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`${hostName}: ${messageOf(error)}`, { cause: error });
  }
}

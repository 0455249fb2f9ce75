/**
 * A worker's images: the same that the coordinator found, or an error.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { withoutDisposal } from "../base/system_errors.ts";
import type { ImageSet } from "../data/datasets/image_set.ts";
import type { ModuleHooks } from "../data/datasets/scan_module.ts";
import type { Heartbeat } from "./heartbeat.ts";

/**
 * Finds a job's images.
 *
 * @param scan Finds them
 * @throws {LockstepError} when they are not those that the coordinator found
 */
export async function openImages(
  { root, fingerprint }: { readonly root: string; readonly fingerprint: string },
  heartbeat: Pick<Heartbeat, "making">,
  scan: (hooks: ModuleHooks) => Promise<ImageSet>,
): Promise<ImageSet> {
  // With its stack: the coordinator keeps a worker's last lines.
  const dataset = await scan({
    onThrown: (thrown) => console.error(withoutDisposal(thrown)),
    onMaking: (sample) => heartbeat.making(sample),
  });
  if (dataset.fingerprint === fingerprint) return dataset;
  throw new LockstepError(
    `The images in ${root} differ from those that the coordinator found (fingerprint ` +
      `${dataset.fingerprint.slice(0, 12)}, expected ${fingerprint.slice(0, 12)}): ` +
      "give all machines the same files",
  );
}

/**
 * The list of a run's images for its workers.
 *
 * @module
 */
import { LockstepError } from "../../base/errors.ts";
import { canShareMemory } from "../../base/shared_memory.ts";
import type { ImageSet } from "../../data/datasets/image_set.ts";
import { type SharedTable, shareTable } from "../../data/datasets/shared_table.ts";
import type { Reporter } from "../../events/reporter.ts";

/**
 * Shares the list of a set's images, so that workers needn't scan the folder.
 *
 * @returns Nothing for images without a list, and where memory can't be shared: workers find such images themselves
 */
export function shareSamples(
  { files }: ImageSet,
  reporter: Pick<Reporter, "warn">,
): SharedTable | undefined {
  if (!files || !canShareMemory()) return undefined;
  try {
    return shareTable(files);
  } catch (error) {
    if (!(error instanceof LockstepError)) throw error;
    reporter.warn(`The list of images can't be shared, so each worker makes it: ${error.message}`);
    return undefined;
  }
}

/**
 * Checks whether a resumed run's images are those of the run so far.
 *
 * @module
 */
import { calledPath } from "../../base/called_paths.ts";
import { listedInQuotes } from "../../base/listing.ts";
import { UsageError } from "../../base/errors.ts";
import type { FileHashes } from "../../data/file_hashes.ts";
import { compareFiles, type FileChanges, readFileRecord } from "../../data/datasets/file_record.ts";
import type { ImageSet } from "../../data/datasets/image_set.ts";

/** Number of files of each kind that a message names. */
const MAX_NAMED = 5;

/**
 * Compares a run's images with the images of its training so far.
 *
 * @param folder The run folder
 * @param accepted Accept differing images
 * @param hashes `all` compares contents also where size and time are the same
 * @returns The differences; `undefined` for a run without a record of its files
 * @throws {UsageError} naming the files that differ, and the cure
 */
export async function checkResumedData(
  folder: string,
  { root, files }: ImageSet,
  accepted = false,
  hashes?: FileHashes,
): Promise<FileChanges | undefined> {
  const recorded = files && await readFileRecord(folder);
  if (!recorded) return undefined;
  const changes = await compareFiles(recorded, root, files, hashes);
  if (!hasOtherImages(changes) || accepted) return changes;
  throw new UsageError(
    `The images in ${calledPath(root)} aren't those that ${folder} was trained on: ${
      describeFileChanges(changes)
    }; bring them back, or go on with them as they are with --accept-data`,
  );
}

/** Tells whether the images have changed, if that can be determined. */
export function hasOtherImages({ changed, added, removed }: FileChanges): boolean {
  return changed.length + added.length + removed.length > 0;
}

/** Describes the differences in words, with the first names of each kind. */
export function describeFileChanges({ changed, added, removed }: FileChanges): string {
  const kinds: [readonly string[], string][] = [
    [changed, "changed"],
    [removed, "removed"],
    [added, "added"],
  ];
  return kinds.filter(([paths]) => paths.length > 0).map(([paths, what]) => {
    return `${paths.length} ${what}: ${listedInQuotes(paths, { max: MAX_NAMED })}`;
  }).join("; ");
}

/** Returns the entry for such changes in a run's record. */
export function recordOfFileChanges(changes: FileChanges) {
  const { changed, added, removed } = changes;
  const counts = { changed, added, removed };
  return Object.fromEntries(
    Object.entries(counts).map(([kind, paths]) => [kind, {
      count: paths.length,
      first: paths.slice(0, MAX_NAMED),
    }]),
  );
}

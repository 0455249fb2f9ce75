/**
 * Data sets by name: fetched once, then found in the cache.
 *
 * @module
 */
import { join } from "node:path";
import { cacheFolder, exists } from "../base/paths.ts";
import { archivePlace, makeFromArchive } from "./archive_dataset.ts";
import { ensureCached } from "./cached.ts";
import { ARCHIVES, type DatasetName } from "./dataset_catalogue.ts";
import { makeFoodGroups } from "./food_groups.ts";
import type { Progress } from "./progress.ts";

/**
 * Makes sure that a data set is here.
 *
 * @returns Folder with the training and validation images, in the data set's format
 * @throws {UsageError} when it can't be had, naming the cure
 */
export async function ensureDataset(name: DatasetName, progress: Progress): Promise<string> {
  const what = `images of ${name}`;
  const make = (target: string, scratch: string) =>
    name === "food-groups" ? makeFoodGroups(target, scratch, what, progress) : makeFromArchive(
      ARCHIVES[name],
      { target, scratch, folder: datasetsFolder(), what },
      progress,
    );
  return await ensureCached({ what, path: datasetFolder(name), make }, progress);
}

/** Returns the folder in which the cache holds a data set once it is fetched. */
export function datasetFolder(name: DatasetName): string {
  return join(datasetsFolder(), name);
}

/** The state of a data set in the cache. */
export type DatasetState =
  | { readonly kind: "ready"; readonly path: string }
  /** The archive is here, fetched or put there by hand, and not unpacked yet. */
  | { readonly kind: "archive"; readonly path: string }
  /** A part of the archive is here. */
  | { readonly kind: "part"; readonly bytes: number }
  | { readonly kind: "missing" };

/** Looks what the cache has of a data set; nothing is fetched. */
export async function datasetState(name: DatasetName): Promise<DatasetState> {
  const folder = datasetFolder(name);
  if (await exists(folder)) return { kind: "ready", path: folder };
  if (name === "food-groups") return { kind: "missing" };
  const { archive, part } = archivePlace(ARCHIVES[name], datasetsFolder());
  if (await exists(archive)) return { kind: "archive", path: archive };
  if (await exists(part)) return { kind: "part", bytes: (await Deno.stat(part)).size };
  return { kind: "missing" };
}

function datasetsFolder(): string {
  return join(cacheFolder(), "datasets");
}

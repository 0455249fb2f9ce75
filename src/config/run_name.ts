/**
 * The name of a run that is given none: that of its images.
 *
 * @module
 */
import { basename } from "node:path";
import { UsageError } from "../base/errors.ts";
import { absolutePath } from "../base/file_path.ts";
import { shownName } from "../base/names.ts";
import { isTree } from "./tree.ts";

/** The name of a run whose images have none. */
export const UNNAMED = "run";

/** Endings of archives, which are no part of what their images are called. */
const ARCHIVE_ENDING = /\.(tar\.gz|tgz|tar|zip)$/i;

/**
 * Returns the name of a run by its config: the one that it gives, else that of the data set, folder or archive of its
 * images; `run` where a module makes them.
 *
 * @param config As it is written, not validated
 */
export function runName(
  { name, data }: { readonly name?: unknown; readonly data?: unknown },
): unknown {
  if (name !== undefined) return name;
  if (!isTree(data)) return UNNAMED;
  const { dataset, root } = data;
  if (typeof dataset === "string" && dataset !== "") return dataset;
  return typeof root === "string" ? nameOfFolder(root) : UNNAMED;
}

function nameOfFolder(path: string): string {
  try {
    return shownName(basename(absolutePath(path)).replace(ARCHIVE_ENDING, "")) ?? UNNAMED;
  } catch (error) {
    if (error instanceof UsageError) return UNNAMED; // the schema says what is wrong with the path
    throw error;
  }
}

/**
 * The root of a run's images: a data set by name, a folder, or an archive that is unpacked first.
 *
 * @module
 */
import { dirname, join, relative, resolve } from "node:path";
import { absolutePath } from "../base/file_path.ts";
import { ensureUnpacked } from "./archive.ts";
import type { DatasetName } from "./dataset_catalogue.ts";
import { ensureDataset } from "./datasets.ts";
import type { Progress } from "./progress.ts";

/**
 * Makes sure that a run's images are here.
 *
 * @param data Name of a data set, else a folder, an archive, or a folder in an archive such as `photos.zip/train`, else
 * a module
 * @returns Absolute path of a folder, or the module's URL; whether it is there and holds images, is for others to say
 * @throws {UsageError} when a data set can't be had, or an archive can't be unpacked
 */
export async function ensureDataRoot(
  { dataset, root, module }: {
    dataset?: DatasetName | null | undefined;
    root?: string | null | undefined;
    module?: string | null | undefined;
  },
  progress: Progress,
): Promise<string> {
  if (module) return module;
  if (dataset) return resolve(await ensureDataset(dataset, progress));
  const path = absolutePath(root!);
  const archive = await fileAround(path);
  if (archive === undefined) return path;
  const content = resolve(await ensureUnpacked(archive, progress));
  return join(content, relative(archive, path));
}

/** The file that a path means, or leads into; nothing for folders, and for what isn't there. */
async function fileAround(path: string): Promise<string | undefined> {
  for (let each = path;; each = dirname(each)) {
    try {
      return (await Deno.stat(each)).isFile ? each : undefined;
    } catch {
      // Reading the folder will say what is wrong with it.
      if (each === dirname(each)) return undefined;
    }
  }
}

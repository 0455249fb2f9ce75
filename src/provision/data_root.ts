/**
 * Where a run's pictures lie: a data set by name, a folder, or an archive that is unpacked first.
 *
 * @module
 */
import { resolve } from "node:path";
import { ensureUnpacked } from "./archive.ts";
import type { DatasetName } from "./dataset_catalogue.ts";
import { ensureDataset } from "./datasets.ts";
import type { Progress } from "./progress.ts";

/**
 * Makes sure that a run's pictures are here.
 *
 * @param data Name of a data set, else a folder or an archive, else a module
 * @returns Absolute path of a folder, or the module's URL; whether it is there and holds pictures, is for others to say
 * @throws {UsageError} when a data set can't be had, or an archive can't be unpacked
 */
export async function ensureDataRoot(
  { dataset, root, module }: {
    dataset?: DatasetName | null;
    root?: string | null;
    module?: string | null;
  },
  progress: Progress,
): Promise<string> {
  if (module) return module;
  if (dataset) return resolve(await ensureDataset(dataset, progress));
  const path = resolve(root!);
  return await isFile(path) ? resolve(await ensureUnpacked(path, progress)) : path;
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false; // reading the folder will say what is wrong with it
  }
}

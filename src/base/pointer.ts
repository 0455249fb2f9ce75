/**
 * Names for changing folders: a symbolic link, or a small file if the file system has no links.
 *
 * Such a file (exFAT, SMB, some archives and cloud drives) holds only the name of a folder beside it.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import { readRegularText } from "./regular_file.ts";

/** Longer files are no pointers: file names have at most 255 bytes. */
const MAX_POINTER_BYTES = 257;

/**
 * Returns the name that a link or a pointer file holds.
 *
 * @returns `undefined` for a missing entry, or for something else, such as a folder
 */
export async function targetOf(path: string): Promise<string | undefined> {
  const entry = await lstat(path);
  if (entry?.isSymlink) return await Deno.readLink(path);
  if (!entry?.isFile || entry.size > MAX_POINTER_BYTES) return undefined;
  const name = (await readRegularText(path)).trim();
  if (name === "" || basename(name) !== name || /^\.|[\\\p{C}]/u.test(name)) return undefined;
  return (await lstat(join(dirname(path), name)))?.isDirectory ? name : undefined;
}

/**
 * Makes a symbolic link to a sibling folder, or a pointer file if links can't be made. Replaces an existing
 * entry.
 *
 * @param path Path of the link; must not be a folder
 * @param target Name of the folder
 */
export async function writePointer(path: string, target: string): Promise<void> {
  await Deno.remove(path).catch(ignoreNotFound);
  try {
    await Deno.symlink(target, path, { type: "dir" });
  } catch {
    // This operation reports any fault of the folder itself.
    using file = await Deno.open(path, { write: true, create: true, truncate: true });
    const bytes = new TextEncoder().encode(`${target}\n`);
    for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
    await file.sync();
  }
}

/**
 * Returns a path in which each pointer file is replaced by the folder that it names.
 *
 * @param path A path such as `runs/latest/checkpoints/best`; it is returned unchanged if it has no pointer files
 */
export async function followPointers(path: string): Promise<string> {
  const entry = await Deno.stat(path).catch(() => undefined); // the caller says what is wrong with it
  if (entry && !entry.isFile) return path;
  const parent = dirname(path);
  if (parent === path) return path;
  const folder = await followPointers(parent);
  const here = folder === parent ? path : join(folder, basename(path));
  const target = (await lstat(here))?.isSymlink ? undefined : await targetOf(here);
  return target === undefined ? here : join(folder, target);
}

/** Facts about an entry without following links; `undefined` when it is missing. */
export async function lstat(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return undefined;
    }
    throw error;
  }
}

function ignoreNotFound(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

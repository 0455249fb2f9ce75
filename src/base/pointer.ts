/**
 * Names for folders that move: a symbolic link, or a small file where the file system has no links.
 *
 * Such a file (exFAT, SMB, some archives and cloud drives) holds the name of a folder beside it, and nothing else.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import { readRegularText } from "./regular_file.ts";

/** Longer files are no pointers: file names have up to 255 bytes. */
const MAX_POINTER_BYTES = 257;

/**
 * Returns the name that a link or a pointer file holds.
 *
 * @returns `undefined` where nothing is there, or something else, such as a folder
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
 * Makes a symbolic link to a folder beside it, or a pointer file where links can't be made. Replaces what is there.
 *
 * @param path Where; must not be a folder
 * @param target Name of the folder
 */
export async function writePointer(path: string, target: string): Promise<void> {
  await Deno.remove(path).catch(ignoreNotFound);
  try {
    await Deno.symlink(target, path, { type: "dir" });
  } catch {
    // Whatever was wrong with the folder itself, this says.
    using file = await Deno.open(path, { write: true, create: true, truncate: true });
    const bytes = new TextEncoder().encode(`${target}\n`);
    for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
    await file.sync();
  }
}

/**
 * Returns a path in which each pointer file is replaced by the folder that it names.
 *
 * @param path Such as `runs/latest/checkpoints/best`; returned as it is where it has no pointer files
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

/** Facts about an entry itself; nothing where there is none. */
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

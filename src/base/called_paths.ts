/**
 * The names that users know for folders that Lockstep makes: an archive's content lies in the cache, and messages
 * name the archive.
 *
 * @module
 */
import { join, relative } from "node:path";

/** Names of folders in messages, by absolute path. */
const names = new Map<string, string>();

/** Lets {@linkcode calledPath} call a folder, and what is in it, by another path. */
export function callPath(folder: string, name: string): void {
  if (folder !== name) names.set(folder, name);
}

/** Returns a path as the user knows it: within an archive, where it lies in the folder of an unpacked one. */
export function calledPath(path: string): string {
  for (const [folder, name] of names) {
    if (path === folder) return name; // which may be an address
    if (path.startsWith(`${folder}/`)) return join(name, relative(folder, path));
  }
  return path;
}

/** Returns a {@linkcode calledPath}, or any other name, in quotes, with what doesn't show as escapes. */
export function quotedPath(path: string): string {
  return JSON.stringify(calledPath(path));
}

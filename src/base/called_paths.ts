/**
 * Display names for folders that Lockstep makes. For example, the content of an archive lies in the cache, but
 * messages name the archive.
 *
 * @module
 */
import { join, relative } from "node:path";

/** Display names of folders, by absolute path. */
const names = new Map<string, string>();

/** Makes {@linkcode calledPath} show another path for a folder and its contents. */
export function callPath(folder: string, name: string): void {
  if (folder !== name) names.set(folder, name);
}

/** Returns a path for messages: a path in the folder of an unpacked archive becomes a path in the archive. */
export function calledPath(path: string): string {
  for (const [folder, name] of names) {
    if (path === folder) return name; // which may be an address
    if (path.startsWith(`${folder}/`)) return join(name, relative(folder, path));
  }
  return path;
}

/** Returns a {@linkcode calledPath}, or any other name, in quotes, with invisible characters as escapes. */
export function quotedPath(path: string): string {
  return JSON.stringify(calledPath(path));
}

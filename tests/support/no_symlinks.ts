/**
 * A file system without symbolic links, such as exFAT or SMB: a library that refuses to make them.
 *
 * @module
 */
import { preloadedLibrary } from "./preloaded_library.ts";

const SOURCE = `#include <errno.h>
int symlink(const char *a, const char *b) { errno = EPERM; return -1; }
int symlinkat(const char *a, int f, const char *b) { errno = EPERM; return -1; }
`;

/**
 * Makes the library.
 *
 * @param folder The library's folder
 * @returns Environment variables of a process that can make no symbolic links; nothing, with a printed reason, where
 * there is no compiler
 */
export async function withoutSymlinks(
  folder: string,
): Promise<Record<string, string> | undefined> {
  return await preloadedLibrary(folder, "nosymlink", SOURCE);
}

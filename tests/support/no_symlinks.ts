/**
 * A file system without symbolic links, such as exFAT or SMB: a library that refuses to make them.
 *
 * @module
 */
import { join } from "node:path";

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
  const [source, library] = ["nosymlink.c", "nosymlink.so"].map((name) => join(folder, name));
  await Deno.writeTextFile(source, SOURCE);
  try {
    const args = ["-shared", "-fPIC", "-o", library, source];
    const { success } = await new Deno.Command("gcc", { args }).output();
    if (success) return { LD_PRELOAD: library };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  console.log("Skipped: there is no gcc for a library that refuses symlink()");
  return undefined;
}

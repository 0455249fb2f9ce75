/**
 * Libraries of a few lines that stand before the C library in a process, and change what the machine does there.
 *
 * @module
 */
import { join } from "node:path";

/**
 * Compiles a library.
 *
 * @param folder The library's folder
 * @param name Its name, without an ending
 * @param source Its text in C
 * @returns Environment variables of a process with the library; nothing, with a printed reason, where there is no
 * compiler
 */
export async function preloadedLibrary(
  folder: string,
  name: string,
  source: string,
): Promise<Record<string, string> | undefined> {
  const [file, library] = ["c", "so"].map((ending) => join(folder, `${name}.${ending}`));
  await Deno.writeTextFile(file, source);
  try {
    const args = ["-shared", "-fPIC", "-o", library, file, "-ldl"];
    const { success } = await new Deno.Command("gcc", { args }).output();
    if (success) return { LD_PRELOAD: library };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  console.log(`Skipped: there is no gcc for the library ${name}`);
  return undefined;
}

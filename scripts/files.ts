/**
 * Small helpers of the scripts that look at the project's own files.
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The project's root folder. */
export const PROJECT_ROOT: string = fromFileUrl(new URL("..", import.meta.url));

/** The path of a `file:` URL. */
export function fromFileUrl(url: string | URL): string {
  return fileURLToPath(url);
}

/** The text of UTF-8 bytes. */
export function readText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Folders of the root that hold source files. */
const SOURCE_FOLDERS = ["src", "workers", "scripts", "tests"];

/** All `.ts` files of the project, relative to `root` with `/` between folders, sorted. */
export async function sourceFiles(root: string): Promise<string[]> {
  return await filesBelow(root, SOURCE_FOLDERS, /\.ts$/);
}

/**
 * Finds files in a folder and below some of its own folders.
 *
 * @param folders Names of the folders of `root` that are searched, at any depth
 * @param pattern What the files' names match
 * @returns Paths relative to `root` with `/` between folders, sorted
 */
export async function filesBelow(
  root: string,
  folders: readonly string[],
  pattern: RegExp,
): Promise<string[]> {
  const files: string[] = [];
  const visit = async (folder: string): Promise<void> => {
    for await (const entry of Deno.readDir(join(root, folder))) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory && (folder !== "" || folders.includes(entry.name))) {
        await visit(path);
      } else if (entry.isFile && pattern.test(entry.name)) files.push(path);
    }
  };
  await visit("");
  return files.sort();
}

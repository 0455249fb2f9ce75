/**
 * Walks folders for picture files, in an order that doesn't depend on the file system.
 *
 * @module
 */
import { join } from "node:path";
import { messageOf, UsageError } from "../base/errors.ts";

/** Endings that count as pictures, in any case: torchvision's, and GIF. */
export const PICTURE_ENDINGS: readonly string[] = [
  ".jpg",
  ".jpeg",
  ".png",
  ".ppm",
  ".bmp",
  ".pgm",
  ".tif",
  ".tiff",
  ".webp",
  ".gif",
];

/** A file that is a picture by its name. */
export interface PictureFile {
  /** Relative to the root, with `/` between names. */
  path: string;
  /** Size of the file; −1 when it can't be opened, such as a link to nothing. */
  bytes: number;
}

/** Files whose size is asked for at once. */
const STATS_AT_ONCE = 64;

/**
 * Names of the folders in a folder, sorted by code point, without those that begin with a dot.
 *
 * @param root The folder that paths are relative to
 * @param folder Relative to the root; the root itself when empty
 * @throws {UsageError} when the folder can't be read
 */
export async function subfolders(root: string, folder: string): Promise<string[]> {
  const { folders } = await readFolder(root, folder);
  return folders;
}

/**
 * Picture files in a folder and all folders below: those of a folder before those of its subfolders.
 *
 * @param root The folder that paths are relative to
 * @param folder Relative to the root; the root itself when empty
 * @throws {UsageError} when a folder can't be read or links lead in a circle
 */
export async function listPictures(root: string, folder: string): Promise<PictureFile[]> {
  const paths: string[] = [];
  await walk(root, folder, [], paths);
  const found: PictureFile[] = [];
  for (let from = 0; from < paths.length; from += STATS_AT_ONCE) {
    const some = paths.slice(from, from + STATS_AT_ONCE);
    found.push(...await Promise.all(some.map((path) => pictureFile(root, path))));
  }
  return found;
}

async function walk(root: string, folder: string, above: string[], paths: string[]): Promise<void> {
  const real = await Deno.realPath(join(root, folder)).catch((error) =>
    refuse(root, folder, error)
  );
  if (above.includes(real)) {
    throw new UsageError(
      `Folder ${JSON.stringify(join(root, folder))} is a link to ${JSON.stringify(real)}, ` +
        "in which it lies itself: remove the link",
    );
  }
  const { folders, files } = await readFolder(root, folder);
  for (const name of files) {
    if (isPictureName(name)) paths.push(folder ? `${folder}/${name}` : name);
  }
  for (const name of folders) {
    await walk(root, folder ? `${folder}/${name}` : name, [...above, real], paths);
  }
}

/** Whether a file is a picture by its name. */
export function isPictureName(name: string): boolean {
  const dot = name.lastIndexOf(".");
  return dot > 0 && PICTURE_ENDINGS.includes(name.slice(dot).toLowerCase());
}

async function readFolder(
  root: string,
  folder: string,
): Promise<{ folders: string[]; files: string[] }> {
  const folders: string[] = [], files: string[] = [];
  const path = join(root, folder);
  try {
    for await (const { name, isDirectory, isSymlink } of Deno.readDir(path)) {
      if (name.startsWith(".")) continue;
      const leadsToFolder = isDirectory || (isSymlink && await isFolder(join(path, name)));
      (leadsToFolder ? folders : files).push(name);
    }
  } catch (error) {
    refuse(root, folder, error);
  }
  return { folders: folders.sort(byCodePoint), files: files.sort(byCodePoint) };
}

async function pictureFile(root: string, path: string): Promise<PictureFile> {
  let info: Deno.FileInfo;
  try {
    info = await Deno.stat(join(root, path));
  } catch {
    // Reading it will fail too, and data.onError says what happens then.
    return { path, bytes: -1 };
  }
  if (!info.isFile) {
    throw new UsageError(
      `${
        JSON.stringify(join(root, path))
      } is named like a picture but is a pipe or a device: remove it`,
    );
  }
  return { path, bytes: info.size };
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    // A link that leads to itself can't be followed; one that leads nowhere may be a lost picture.
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function refuse(root: string, folder: string, error: unknown): never {
  const path = JSON.stringify(join(root, folder));
  if (error instanceof UsageError) throw error;
  if (error instanceof Deno.errors.NotFound) {
    throw new UsageError(`Folder ${path} is missing: name an existing folder with data.root`);
  }
  throw new UsageError(`Folder ${path} can't be read: ${messageOf(error)}; mend its access rights`);
}

/** The order of Python's `sorted`; JavaScript's own differs beyond U+FFFF. */
export function byCodePoint(a: string, b: string): number {
  const left = Array.from(a, (letter) => letter.codePointAt(0)!);
  const right = Array.from(b, (letter) => letter.codePointAt(0)!);
  const length = Math.min(left.length, right.length);
  for (let i = 0; i < length; i++) {
    if (left[i] !== right[i]) return left[i] - right[i];
  }
  return left.length - right.length;
}

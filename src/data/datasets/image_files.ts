/**
 * Walks folders for image files, in an order that doesn't depend on the file system.
 *
 * @module
 */
import { counted } from "../../base/format.ts";
import { join } from "node:path";
import { bulkCalls } from "../../base/bulk_calls.ts";
import { quotedPath } from "../../base/called_paths.ts";
import { UsageError } from "../../base/errors.ts";
import { describeUnreadableFolder } from "../../base/unreadable_folder.ts";
import type { SampleTableBuilder } from "./sample_table.ts";

/** Endings of JPEG files, in lower case. */
export const JPEG_ENDINGS: readonly string[] = [
  ".jpg",
  ".jpeg",
  ".jfif",
  ".jpe",
  ".pjpeg",
  ".pjp",
];

/** Endings that count as images, in any case: torchvision's, GIF, and what browsers and scanners write. */
export const IMAGE_ENDINGS: readonly string[] = [
  ...JPEG_ENDINGS,
  ".png",
  ".ppm",
  ".bmp",
  ".pgm",
  ".tif",
  ".tiff",
  ".webp",
  ".gif",
];

/** A file that is an image by its name. */
export interface ImageFile {
  /** Relative to the root, with `/` between names. */
  path: string;
  /** Size of the file; −1 when it can't be opened, such as a link to nothing. */
  bytes: number;
  /** The time of the last change, in milliseconds since 1970; 0 where the time isn't known. */
  modified: number;
}

/** The folder that macOS puts into archives, with files that look like images and are none. */
const MAC_EXTRAS = "__MACOSX";
/** Endings of images that aren't decoded: people may think that they are. */
const FOREIGN_IMAGES = [
  ...[".heic", ".heif", ".avif", ".jxl", ".jp2", ".svg", ".psd", ".ico", ".tga"],
  ...[".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".raf", ".rw2", ".raw"],
];
/** Endings that a message names. */
const MAX_NAMED = 6;

/** Files that file managers write; nobody misses them. */
const SYSTEM_FILES = ["thumbs.db", "desktop.ini", "icon\r"];

/** Counts the files that a scan leaves out because of their names or places. */
export class LeftOut {
  readonly #endings = new Map<string, number>();
  #strays = 0;

  /** Counts a file in a class folder that is no image by its name. */
  add(name: string): void {
    if (SYSTEM_FILES.includes(name.toLowerCase())) return;
    const ending = endingOf(name);
    this.#endings.set(ending, (this.#endings.get(ending) ?? 0) + 1);
  }

  /** Counts a file outside of the class folders, if it is an image by its name. */
  addStray(name: string): void {
    if (isImageName(name)) this.#strays++;
    else if (FOREIGN_IMAGES.includes(endingOf(name))) this.add(name);
  }

  /** Number of images in folders that belong to no class. */
  get strays(): number {
    return this.#strays;
  }

  /** A sentence with the numbers, or nothing when none was left out. */
  describe(root: string): string | undefined {
    const counts = [...this.#endings].sort(([a, less], [b, more]) =>
      more - less || byCodePoint(a, b)
    );
    const parts: string[] = [];
    if (this.#strays > 0) {
      parts.push(`${counted(this.#strays, "file")} outside of the class folders`);
    }
    if (counts.length > 0) {
      const total = counts.reduce((sum, [, count]) => sum + count, 0);
      const named = counts.slice(0, MAX_NAMED)
        .map(([ending, count]) => `${count} ${ending === "" ? "without an ending" : ending}`);
      if (counts.length > MAX_NAMED) named.push("others");
      parts.push(`${counted(total, "file")} without an ending that is read (${named.join(", ")})`);
    }
    if (parts.length === 0) return undefined;
    const foreign = counts.find(([ending]) => FOREIGN_IMAGES.includes(ending));
    const cure = foreign ? `; convert ${foreign[0]} files to JPEG or PNG to use them` : "";
    return `Left out of ${quotedPath(root)}: ${parts.join(", ")}${cure}`;
  }
}

/** The ending with its dot, in lower case; empty when there is none. */
export function endingOf(name: string): string {
  const dot = name.lastIndexOf(".");
  return dot > 0 ? name.slice(dot).toLowerCase() : "";
}

/**
 * Names of the folders in a folder, sorted by code point, without those that begin with a dot.
 *
 * @param root The folder that paths are relative to
 * @param folder Relative to the root; the root itself when empty
 * @param leftOut Counts the images in it, which belong to no class
 * @throws {UsageError} when the folder can't be read
 */
export async function subfolders(
  root: string,
  folder: string,
  leftOut?: LeftOut,
): Promise<string[]> {
  const { folders, files } = await readFolder(root, folder);
  if (leftOut) { for (const name of files) leftOut.addStray(name); }
  return folders;
}

/**
 * Image files in a folder and all folders below: those of a folder before those of its subfolders.
 *
 * @param root The folder that paths are relative to
 * @param folder Relative to the root; the root itself when empty
 * @param leftOut Counts the files that are no images by their names
 * @throws {UsageError} when a folder can't be read or links lead in a circle
 */
export async function listImages(
  root: string,
  folder: string,
  leftOut?: LeftOut,
): Promise<ImageFile[]> {
  const found: ImageFile[] = [];
  await walk(root, folder, [], {
    add: (place, name) => found.push({ path: pathOf(place, name), bytes: -1, modified: 0 }),
    leftOut,
  });
  await statFiles(root, {
    count: found.length,
    path: (index) => found[index]!.path,
    found: (index, bytes, modified) => Object.assign(found[index]!, { bytes, modified }),
  });
  return found;
}

/**
 * Adds the {@linkcode listImages | image files in a folder} to a table.
 *
 * @param label The class of all of them
 * @returns How many there are
 */
export async function addImages(
  table: SampleTableBuilder,
  root: string,
  folder: string,
  label: number,
  leftOut?: LeftOut,
): Promise<number> {
  const first = table.length;
  await walk(root, folder, [], { add: (place, name) => table.add(place, name, label), leftOut });
  const count = table.length - first;
  await statFiles(root, {
    count,
    path: (index) => table.path(first + index),
    found: (index, bytes, modified) => table.setFile(first + index, bytes, modified),
  });
  return count;
}

/** Files whose sizes are asked for. */
interface FilesToStat {
  readonly count: number;
  /** Path of a file relative to the root. */
  readonly path: (index: number) => string;
  /** Called for each file that is there; size in bytes, time of the last change in ms. */
  readonly found: (index: number, bytes: number, modified: number) => void;
}

/** A file that can't be asked for stays without a size: reading it will fail too, and data.onError says what happens. */
async function statFiles(root: string, { count, path, found }: FilesToStat): Promise<void> {
  const take = (index: number, info: Deno.FileInfo) => {
    if (!info.isFile) throw new UsageError(notAFile(join(root, path(index))));
    found(index, info.size, info.mtime?.getTime() ?? 0);
  };
  await bulkCalls(count, {
    sync: (index) => {
      let info: Deno.FileInfo;
      try {
        info = Deno.statSync(`${root}/${path(index)}`);
      } catch {
        return;
      }
      take(index, info);
    },
    async: async (index) => {
      const info = await Deno.stat(`${root}/${path(index)}`).catch(() => undefined);
      if (info) take(index, info);
    },
  });
}

function notAFile(path: string): string {
  return `${quotedPath(path)} is named like an image but is a pipe or a device: remove it`;
}

function pathOf(folder: string, name: string): string {
  return folder ? `${folder}/${name}` : name;
}

/** The parts that a walk fills. */
interface WalkTarget {
  readonly add: (folder: string, name: string) => void;
  readonly leftOut?: LeftOut | undefined;
}

async function walk(
  root: string,
  folder: string,
  above: string[],
  found: WalkTarget,
): Promise<void> {
  const real = await Deno.realPath(join(root, folder)).catch((error) =>
    refuse(root, folder, error)
  );
  if (above.includes(real)) {
    throw new UsageError(
      `Folder ${quotedPath(join(root, folder))} is a link to ${JSON.stringify(real)}, ` +
        "in which it lies itself: remove the link",
    );
  }
  const { folders, files } = await readFolder(root, folder);
  for (const name of files) {
    if (isImageName(name)) found.add(folder, name);
    else found.leftOut?.add(name);
  }
  for (const name of folders) {
    await walk(root, pathOf(folder, name), [...above, real], found);
  }
}

/** Tells whether a file is an image by its name. */
export function isImageName(name: string): boolean {
  return IMAGE_ENDINGS.includes(endingOf(name));
}

async function readFolder(
  root: string,
  folder: string,
): Promise<{ folders: string[]; files: string[] }> {
  const folders: string[] = [], files: string[] = [];
  const path = join(root, folder);
  try {
    for await (const { name, isDirectory, isSymlink } of Deno.readDir(path)) {
      if (name.startsWith(".") || name === MAC_EXTRAS) continue;
      const leadsToFolder = isDirectory || (isSymlink && await isFolder(join(path, name)));
      (leadsToFolder ? folders : files).push(name);
    }
  } catch (error) {
    refuse(root, folder, error);
  }
  return { folders: folders.sort(byCodePoint), files: files.sort(byCodePoint) };
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    // A link that leads to itself can't be followed; one that leads nowhere may be a lost image.
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function refuse(root: string, folder: string, error: unknown): never {
  const path = quotedPath(join(root, folder));
  if (error instanceof UsageError) throw error;
  if (folder.includes(NOT_UTF8)) {
    throw new UsageError(
      `Folder ${path} has a name that isn't UTF-8 (shown as ${NOT_UTF8}): rename it, such as with ` +
        "convmv -r -f latin1 -t utf8 --notest",
    );
  }
  if (error instanceof Deno.errors.NotFound) {
    const what = isLink(join(root, folder)) ? "is a link to nothing" : "is missing";
    throw new UsageError(`Folder ${path} ${what}: name an existing folder with data.root`);
  }
  throw new UsageError(describeUnreadableFolder(path, error));
}

function isLink(path: string): boolean {
  try {
    return Deno.lstatSync(path).isSymlink;
  } catch {
    return false;
  }
}

/** The character for bytes of a name that are not UTF-8; the file can't be opened by such a name. */
export const NOT_UTF8 = "\ufffd";

/** The order of Python's `sorted`; JavaScript's own differs beyond U+FFFF. */
export function byCodePoint(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const left = a.charCodeAt(at), right = b.charCodeAt(at);
    if (left !== right) return inCodePointOrder(left) - inCodePointOrder(right);
  }
  return a.length - b.length;
}

/** A UTF-16 unit's place in the order of code points: units of a pair come behind all others. */
function inCodePointOrder(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

/**
 * Archives of images, unpacked with suspicion: tar, gzipped tar and zip.
 *
 * @module
 */
import { basename, join } from "node:path";
import { calledPath, callPath } from "../base/called_paths.ts";
import { reasonOf } from "../base/errors.ts";
import { isDiskError } from "../base/system_errors.ts";
import { cacheFolder } from "../base/paths.ts";
import { openRegularFile } from "../base/regular_file.ts";
import { ensureCached } from "./cached.ts";
import { hashOfFile } from "./file_hash.ts";
import type { Progress } from "./progress.ts";
import { ArchiveError, type ArchiveLimits, UnpackedFolder } from "./unpacked_folder.ts";

/** The kinds of archive that {@linkcode archiveKind} tells apart. */
export type ArchiveKind = "tar" | "tar.gz" | "zip";

/** Files and folders that an archive may hold, unless told otherwise. */
const MAX_ENTRIES = 2_000_000;
/** Bytes that any archive may unpack to, unless told otherwise … */
const FREE_BYTES = 64 * 2 ** 20;
/** … and how many times its own size a larger one may: photos hardly shrink, and bombs shrink a thousandfold. */
const MAX_RATIO = 100;

/** Archives of that size take long enough to hash that it should be seen. */
const SLOW_HASH_BYTES = 256 * 2 ** 20;

/** A tar archive begins with a block of this size, with the magic word at {@linkcode TAR_MAGIC_AT}. */
const TAR_BLOCK = 512;
const TAR_MAGIC_AT = 257;

/**
 * Makes sure that an archive is unpacked in the cache, under the SHA-256 of its content: another archive of
 * the same name is unpacked anew, a copy elsewhere isn't.
 *
 * @param archive Path of a file, by which messages call the folder and what is in it from then on
 * @returns The folder with the content; an archive of one folder and nothing else gives that folder
 * @throws {UsageError} when the file is no archive, or not one that may be unpacked
 */
export async function ensureUnpacked(archive: string, progress: Progress): Promise<string> {
  await requireKind(archive);
  const what = basename(archive);
  const { size } = await Deno.stat(archive);
  const onBytes = size < SLOW_HASH_BYTES
    ? undefined
    : (bytes: number) => progress({ what: `checking ${what}`, bytes, totalBytes: size });
  const sha256 = await hashOfFile(archive, "sha256", onBytes);
  const folder = await ensureCached({
    what,
    path: join(cacheFolder(), "archives", sha256),
    make: (target) => unpackArchive(archive, target, progress),
  }, progress);
  const content = await onlyFolder(folder);
  callPath(content, archive);
  return content;
}

/**
 * Unpacks an archive into a new folder. Nothing is written outside of it, whatever the archive says.
 *
 * @param archive Path of a tar, gzipped tar or zip file
 * @param target Folder to make
 * @param limits What it may unpack to: unless given, 2,000,000 entries, and 64 MiB or a hundred times its size
 * @throws {UsageError} naming the archive, and the entry that is at fault; `target` may then be half filled
 */
export async function unpackArchive(
  archive: string,
  target: string,
  progress: Progress,
  limits: Partial<ArchiveLimits> = {},
): Promise<void> {
  const kind = await requireKind(archive);
  const { size } = await Deno.stat(archive);
  const all = {
    maxEntries: MAX_ENTRIES,
    maxBytes: Math.max(FREE_BYTES, size * MAX_RATIO),
    ...limits,
  };
  await Deno.mkdir(target);
  const folder = new UnpackedFolder(target, calledPath(archive), all);
  const what = `unpacking ${basename(archive)}`;
  // The last byte is told when all is done: a bar ends with it.
  const onBytes = (bytes: number) =>
    progress({ what, bytes: Math.min(bytes, size - 1), totalBytes: size });
  try {
    const { tarEntries } = await import("./tar_entries.ts");
    const { zipEntries } = await import("./zip_entries.ts");
    const entries = kind === "zip"
      ? zipEntries(archive, onBytes)
      : tarEntries(archive, { gzipped: kind === "tar.gz", maxBytes: all.maxBytes, onBytes });
    for await (const entry of entries) await folder.take(entry);
  } catch (error) {
    if (error instanceof ArchiveError || isDiskError(error)) throw error;
    throw new ArchiveError(
      `The archive ${calledPath(archive)} can't be unpacked: it is cut short or damaged (${
        reasonOf(error)
      }): ` +
        "fetch it again",
    );
  }
  progress({ what, bytes: size, totalBytes: size });
}

/** The kind of an archive by its first bytes, or nothing when it is something else. */
export async function archiveKind(path: string): Promise<ArchiveKind | undefined> {
  using file = await openRegularFile(path);
  const head = new Uint8Array(TAR_BLOCK);
  let filled = 0;
  for (let count; (count = await file.read(head.subarray(filled))) !== null && count > 0;) {
    filled += count;
  }
  if (head[0] === 0x1f && head[1] === 0x8b) return "tar.gz";
  if (head[0] === 0x50 && head[1] === 0x4b) return "zip";
  const magic = new TextDecoder().decode(head.subarray(TAR_MAGIC_AT, TAR_MAGIC_AT + 5));
  return magic === "ustar" || (filled === TAR_BLOCK && isOldTar(head)) ? "tar" : undefined;
}

/** Endings of files that say something about an archive beside its only folder. */
const NOTES =
  /^(?!\.).*\.(txt|md|rst|pdf|html?|json|csv|ya?ml|xml|ini|db|url)$|^(readme|licen[cs]e|copying|notice)$/i;
/** Folders that are a side of the data, not one around them. */
const SIDES = /^(train(ing)?|val(id(ation)?)?|dev|test)$/i;

/**
 * The folder that holds the data: the only folder in a folder, when there is nothing beside it but notes and
 * names that begin with a dot, and again the only folder in that, if it holds folders itself; else the folder.
 */
export async function onlyFolder(folder: string): Promise<string> {
  const inner = await onlyChild(folder);
  if (inner === undefined) return folder;
  for (let found = inner;;) {
    const next = await onlyChild(found);
    if (next === undefined || SIDES.test(basename(next)) || !await hasFolders(next)) return found;
    found = next;
  }
}

async function onlyChild(folder: string): Promise<string | undefined> {
  const entries = (await Array.fromAsync(Deno.readDir(folder)))
    .filter(({ name, isFile }) => !name.startsWith(".") && !(isFile && NOTES.test(name)));
  const [only] = entries;
  return entries.length === 1 && only.isDirectory ? join(folder, only.name) : undefined;
}

async function hasFolders(folder: string): Promise<boolean> {
  for await (const { isDirectory } of Deno.readDir(folder)) if (isDirectory) return true;
  return false;
}

async function requireKind(archive: string): Promise<ArchiveKind> {
  const kind = await archiveKind(archive);
  if (kind) return kind;
  const { size } = await Deno.stat(archive);
  throw new ArchiveError(
    `The file ${
      calledPath(archive)
    } (${size} bytes) is no archive: give a folder, or a .tar.gz, .tgz, .tar or .zip file`,
  );
}

/** Tar before POSIX has no magic word, but a checksum: the sum of the block with spaces in its own place. */
function isOldTar(block: Uint8Array): boolean {
  const stored = parseInt(new TextDecoder().decode(block.subarray(148, 156)), 8);
  const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  return stored === sum;
}

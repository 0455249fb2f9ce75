/**
 * The cache's folders, and atomic writes, so that no reader ever sees a half-written file.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { asLockstepError, UsageError } from "./errors.ts";
import { pathOption } from "./file_path.ts";
import { requireRegular } from "./regular_file.ts";
import { removeAtStop } from "./signals.ts";

/**
 * The cache folder: `LOCKSTEP_CACHE`, else the platform's cache folder + `lockstep`
 * (`$XDG_CACHE_HOME` or `~/.cache` on Linux, `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows).
 *
 * @throws {UsageError} when no variable names a folder, or `LOCKSTEP_CACHE` names an impossible one
 */
export function cacheFolder(): string {
  const own = Deno.env.get("LOCKSTEP_CACHE");
  if (own) return pathOption("LOCKSTEP_CACHE", own);
  const platform = Deno.build.os === "windows"
    ? Deno.env.get("LOCALAPPDATA")
    : Deno.build.os === "darwin"
    ? undefined
    : Deno.env.get("XDG_CACHE_HOME");
  if (platform) return join(platform, "lockstep");
  const home = Deno.env.get("HOME") || Deno.env.get("USERPROFILE");
  if (!home) {
    throw new UsageError(
      "There is no folder for Lockstep's cache, as HOME is not set: set HOME, or LOCKSTEP_CACHE to a folder that " +
        "can be written and has room",
    );
  }
  if (Deno.build.os === "windows") return join(home, "AppData", "Local", "lockstep");
  if (Deno.build.os === "darwin") return join(home, "Library", "Caches", "lockstep");
  return join(home, ".cache", "lockstep");
}

/** Tells whether `path` exists (any kind of entry); other failures, such as no permission, are thrown. */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return false;
    }
    throw error;
  }
}

/**
 * Writes a file atomically: to `<path>.<pid>.tmp`, flushed to disk, then renamed over `path`.
 * A reader sees either the old or the new content. The folder is made when missing.
 *
 * @throws {SystemError} naming `path`, when it can't be written; the old content stays and the temporary file is
 * removed
 */
export async function writeFileAtomically(
  path: string,
  content: string | Uint8Array | Iterable<Uint8Array>,
): Promise<void> {
  await refuseSpecial(path);
  const temporary = `${path}.${Deno.pid}.tmp`;
  using _temporary = removeAtStop(temporary);
  try {
    await Deno.mkdir(dirname(path), { recursive: true });
    {
      using file = await Deno.open(temporary, { write: true, create: true, truncate: true });
      for (const part of partsOf(content)) await writeAll(file, part);
      await file.sync();
    }
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {}); // the error below is the one that matters
    throw asLockstepError(error, path);
  }
  await syncFolder(dirname(path));
}

/** Refuses a device, a pipe or a socket: renaming a file to that path would remove it. */
async function refuseSpecial(path: string): Promise<void> {
  const info = await Deno.stat(path).catch(() => undefined); // writing says what is wrong
  if (info && !info.isDirectory) requireRegular(path, info, "written");
}

/**
 * Flushes a folder's entries to the disk. Without it, a renamed file may have its old name after a power failure.
 */
export async function syncFolder(folder: string): Promise<void> {
  if (Deno.build.os === "windows") return; // folders can't be opened there
  try {
    using handle = await Deno.open(folder);
    await handle.sync();
  } catch {
    // A file system that can't flush folders offers no more.
  }
}

/**
 * Removes temporary files of {@linkcode writeFileAtomically} that a killed process left in a folder and its
 * subfolders. Call this only when no other process writes there.
 */
export async function removeTemporaries(folder: string): Promise<void> {
  for await (const { name, isDirectory, isFile } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) await removeTemporaries(path);
    else if (isFile && /\.\d+\.tmp$/.test(name)) await Deno.remove(path);
  }
}

function partsOf(content: string | Uint8Array | Iterable<Uint8Array>): Iterable<Uint8Array> {
  if (typeof content === "string") return [new TextEncoder().encode(content)];
  return content instanceof Uint8Array ? [content] : content;
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let offset = 0; offset < bytes.length;) offset += await file.write(bytes.subarray(offset));
}

/**
 * Makes things in the cache: once, whole, and by one process at a time.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import { orAborted } from "../base/async.ts";
import { asLockstepError, UsageError } from "../base/errors.ts";
import { exists } from "../base/paths.ts";
import { openRegularFile } from "../base/regular_file.ts";
import { removeAtStop } from "../base/signals.ts";
import { describeSystemError, isStorageCode, withoutDisposal } from "../base/system_errors.ts";
import type { Progress } from "./progress.ts";

/** The ending of the folders in which things are made. */
const SCRATCH_SUFFIX = ".setup";

/** The thing to make. */
export interface CachedThing {
  /** For people, such as `nats-server 2.15.1`. */
  readonly what: string;
  /** File or folder that is there when it is done. */
  readonly path: string;
  /** Makes it at `target`, with room for temporary files in `scratch`. */
  readonly make: (target: string, scratch: string) => Promise<void>;
}

/**
 * Makes a thing unless it is there. It appears under its name only when it is complete; of two processes one
 * makes it while the other waits, and a process that dies leaves nothing that would be taken for the thing.
 *
 * @returns The thing's path
 * @throws {UsageError} when the cache can't be written
 */
export async function ensureCached(
  { what, path, make }: CachedThing,
  progress: Progress,
): Promise<string> {
  const folder = dirname(path);
  try {
    if (await exists(path)) return path;
    progress.signal?.throwIfAborted();
    await makeFolder(folder, what);
    using lock = await lockFor(`${path}.lock`, what, progress);
    void lock;
    if (await exists(path)) return path; // made by the process that we waited for
    const prefix = `.${basename(path)}~`;
    await removeLeftovers(folder, prefix);
    const scratch = Deno.makeTempDirSync({ dir: folder, prefix, suffix: SCRATCH_SUFFIX });
    using _scratch = removeAtStop(scratch);
    try {
      const target = join(scratch, "result");
      await make(target, scratch);
      await Deno.rename(target, path);
    } finally {
      await Deno.remove(scratch, { recursive: true });
    }
    return path;
  } catch (error) {
    throw asUsageError(error, what, folder);
  }
}

/** @throws {UsageError} also where a parent folder can't hold any, as below `/proc` */
async function makeFolder(folder: string, what: string): Promise<void> {
  try {
    await Deno.mkdir(folder, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new UsageError(
      `${what} can't be stored in ${folder}: the folder can't be made; set LOCKSTEP_CACHE to one that can be written`,
      { cause: error },
    );
  }
}

/** Removes what killed processes left, which may be hundreds of megabytes. Only for the holder of the lock. */
async function removeLeftovers(folder: string, prefix: string): Promise<void> {
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.startsWith(prefix) || !name.endsWith(SCRATCH_SUFFIX)) continue;
    // A pip that outlived its Lockstep may still be writing there: then it is left for the next time.
    await Deno.remove(join(folder, name), { recursive: true }).catch(() => {});
  }
}

/** The lock is the operating system's: it is released when its holder ends, however that happens. */
async function lockFor(path: string, what: string, progress: Progress): Promise<Deno.FsFile> {
  const file = await openRegularFile(path, { create: true, write: true });
  const locked = file.lock(true);
  const { signal } = progress;
  const notice = setTimeout(
    () => progress({ what, note: "waiting for another process that is fetching it" }),
    500,
  );
  try {
    await orAborted(locked, signal);
    return file;
  } catch (error) {
    locked.then(() => file.close(), () => file.close());
    throw error;
  } finally {
    clearTimeout(notice);
  }
}

/** Tells of the cache's folder, whichever of the files in it was the one. */
function asUsageError(error: unknown, what: string, folder: string): unknown {
  const trouble = describeSystemError(error);
  const isMissing = trouble?.code === "ENOENT"; // a program to run, for one
  if (!trouble || isMissing || error instanceof UsageError) return withoutDisposal(error);
  const { code, reason } = trouble;
  const canMove = isStorageCode(code) || ["EEXIST", "ENOTDIR", "EISDIR"].includes(code);
  if (!canMove) return asLockstepError(error);
  const why = ["EEXIST", "ENOTDIR"].includes(code) ? "it is not a folder" : reason;
  return new UsageError(
    `${what} can't be stored in ${folder}: ${why}; set LOCKSTEP_CACHE to a folder that can be written and has room`,
    { cause: error },
  );
}

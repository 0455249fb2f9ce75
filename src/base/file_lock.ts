/**
 * Locks on files, which the kernel releases when the process ends in any way.
 *
 * @module
 */
import { orAborted } from "./async.ts";
import { reasonOf, UsageError } from "./errors.ts";
import { openRegularFile } from "./regular_file.ts";

/** Options of {@linkcode lockFile}. */
export interface FileLockOptions {
  /** Others may hold the lock in the same way at the same time. */
  readonly isShared?: boolean;
  /** Called when another process holds the lock, so that this one waits. */
  readonly onWaiting?: () => void;
  readonly signal?: AbortSignal | undefined;
}

const WAITING_MS = 500;

/**
 * Waits for a lock, and holds it until the result is disposed of.
 *
 * @param path The file, which is made when missing
 * @throws {UsageError} when the file system has no locks
 */
export async function lockFile(
  path: string,
  { isShared = false, onWaiting, signal }: FileLockOptions = {},
): Promise<Disposable> {
  const file = await openRegularFile(path, { create: true, read: true, write: true });
  const locked = file.lock(!isShared);
  const notice = setTimeout(() => onWaiting?.(), WAITING_MS);
  try {
    await orAborted(locked, signal);
    return file;
  } catch (error) {
    locked.then(() => file.close(), () => file.close());
    throw signal?.aborted ? error : withoutLocks(path, error);
  } finally {
    clearTimeout(notice);
  }
}

/**
 * Takes a lock if nobody else has it; nothing otherwise.
 *
 * @throws {UsageError} when the file system has no locks
 */
export async function tryLockFile(
  path: string,
  { isShared = false }: Pick<FileLockOptions, "isShared"> = {},
): Promise<Disposable | undefined> {
  const file = await openRegularFile(path, { create: true, read: true, write: true });
  try {
    if (await file.tryLock(!isShared)) return file;
  } catch (error) {
    file.close();
    throw withoutLocks(path, error);
  }
  file.close();
  return undefined;
}

function withoutLocks(path: string, error: unknown): UsageError {
  return new UsageError(
    `${path} can't be locked: ${
      reasonOf(error)
    }; set LOCKSTEP_CACHE to a folder of a file system with locks`,
    { cause: error },
  );
}

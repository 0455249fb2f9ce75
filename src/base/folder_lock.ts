/**
 * A lock on a folder for one process; the kernel releases it when the process ends in any way.
 *
 * @module
 */
import { hostname } from "node:os";
import { join } from "node:path";
import { delay } from "./async.ts";
import { reasonOf, UsageError } from "./errors.ts";

/** Name of the file in a locked folder. */
export const LOCK_FILE = ".lock";

/** A longer file was not written by this module. */
const MAX_BYTES = 4096;

/** Readings of a holder's name, and the milliseconds between two. */
const NAME_ATTEMPTS = 10;
const NAME_DELAY_MS = 50;

/** Settings of {@linkcode lockFolder}. */
export interface LockOptions {
  /** The folder's role in the message to a second process, such as `Run`. */
  readonly what: string;
  /** End of that message: an alternative to waiting. */
  readonly cure: string;
  /** Called when the file system supports no locks. */
  readonly onWarning: (message: string) => void;
}

/**
 * Locks a folder until the result is disposed of, or this process ends.
 *
 * The lock is an advisory one (`flock`) on a file `.lock`, which names this process. On a file system without
 * locks, the folder stays unlocked, with a warning.
 *
 * @throws {UsageError} when another process holds the lock (the message names it), or the file can't be written
 */
export async function lockFolder(folder: string, options: LockOptions): Promise<Disposable> {
  const path = join(folder, LOCK_FILE);
  for (;;) {
    const file = await open(path);
    const locked = await tryLock(file, folder, options);
    if (locked === undefined) return file;
    if (!locked) {
      const holder = await describeHolder(file);
      file.close();
      throw new UsageError(
        `${options.what} ${folder} is in use by ${holder}: wait for its end, or ${options.cure}`,
      );
    }
    // A process removes the file when it releases the lock: a lock counts only on the file that has the name now.
    if (await isStillThere(file, path)) return await hold(file, path);
    file.close();
  }
}

async function open(path: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path, { read: true, write: true, create: true });
  } catch (error) {
    throw new UsageError(`${path} can't be written: ${reasonOf(error)}`, { cause: error });
  }
}

/** Tells whether this process now holds the lock; `undefined` on a file system without locks. */
async function tryLock(
  file: Deno.FsFile,
  folder: string,
  { onWarning }: LockOptions,
): Promise<boolean | undefined> {
  try {
    return await file.tryLock(true);
  } catch (error) {
    onWarning(
      `The file system of ${folder} has no locks (${reasonOf(error)}): ` +
        "see to it that no other process works on it at the same time",
    );
    return undefined;
  }
}

/** Names this process in the file, and removes the file at the end. */
async function hold(file: Deno.FsFile, path: string): Promise<Disposable> {
  const holder = { pid: Deno.pid, host: hostname(), since: new Date().toISOString() };
  await file.truncate();
  await file.write(new TextEncoder().encode(JSON.stringify(holder) + "\n"));
  return {
    [Symbol.dispose]: () => {
      try {
        Deno.removeSync(path); // while the lock is held: nobody else's file is removed
      } catch {
        // The folder is missing or read-only by now; a leftover file without a lock does no harm.
      }
      file.close();
    },
  };
}

async function isStillThere(file: Deno.FsFile, path: string): Promise<boolean> {
  try {
    const [own, there] = await Promise.all([file.stat(), Deno.stat(path)]);
    return own.ino === there.ino && own.dev === there.dev;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Names the holder; one that has just taken the lock gets a moment to write its name. */
async function describeHolder(file: Deno.FsFile): Promise<string> {
  for (let attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
    const name = await holderIn(file);
    if (name !== undefined) return name;
    await delay(NAME_DELAY_MS);
  }
  return "another process";
}

async function holderIn(file: Deno.FsFile): Promise<string | undefined> {
  try {
    const bytes = new Uint8Array(MAX_BYTES);
    await file.seek(0, Deno.SeekMode.Start);
    const length = await file.read(bytes) ?? 0;
    const { pid, host, since } = JSON.parse(new TextDecoder().decode(bytes.subarray(0, length)));
    if (!Number.isInteger(pid)) return undefined;
    return `the process with pid ${pid} on ${visible(host)} since ${visible(since)}`;
  } catch {
    return undefined; // not written yet, or not by this module
  }
}

function visible(text: unknown): string {
  return String(text).replace(/[^\w.:+-]/g, "?").slice(0, 80);
}

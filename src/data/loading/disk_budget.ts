/**
 * The bytes that a folder of kept images may take, divided among all processes and threads that write into it.
 *
 * A file holds the sum of what they have reserved. Each of them takes some under the file's lock, and more when that is
 * used up.
 *
 * @module
 */
import { join } from "node:path";
import { openRegularFileSync } from "../../base/regular_file.ts";

/** Name of the file that holds the sum. */
export const USED_BYTES = "used-bytes";

/** The most that is reserved beyond what is needed at once. */
const MAX_RESERVE = 2 ** 26;
/** Reserves in the limit: what is reserved and not used leaves that much unused. */
const RESERVES = 64;
/** Tries to get the lock, and the milliseconds between them. */
const LOCK_TRIES = 20, LOCK_WAIT_MS = 5;
/** Characters of the number in the file. */
const DIGITS = 20;

/** One writer's view of the limit. */
export class DiskBudget implements Disposable {
  readonly #path: string;
  readonly #limit: number;
  #left = 0;
  #isFull = false;

  /**
   * @param folder The folder, which must be there
   * @param limit The most that all writers together may take in it
   */
  constructor(folder: string, limit: number) {
    this.#path = join(folder, USED_BYTES);
    this.#limit = limit;
  }

  /** Tells whether there was no room for a file; files of other sizes aren't tried then. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /**
   * Reserves bytes for a file.
   *
   * @returns `false` where there isn't so much room, or others keep the lock
   * @throws {Error} the operating system's, when the file of the sum can't be written
   */
  reserve(bytes: number): boolean {
    if (this.#isFull) return false;
    if (bytes > this.#left && !this.#take(bytes - this.#left)) return false;
    this.#left -= bytes;
    return true;
  }

  /** Gives the bytes of a file back that wasn't written. */
  release(bytes: number): void {
    this.#left += bytes;
  }

  /** Gives back what wasn't used. */
  [Symbol.dispose](): void {
    if (this.#left === 0) return;
    try {
      changeUsed(this.#path, (used) => Math.max(0, used - this.#left));
    } catch {
      // It counts as used until the folder is counted the next time.
    }
    this.#left = 0;
  }

  #take(needed: number): boolean {
    const reserve = Math.max(needed, Math.min(MAX_RESERVE, Math.floor(this.#limit / RESERVES)));
    let taken = 0;
    const wasLocked = !changeUsed(this.#path, (used) => {
      taken = [reserve, needed].find((bytes) => used + bytes <= this.#limit) ?? 0;
      return used + taken;
    });
    if (wasLocked) return false;
    this.#left += taken;
    this.#isFull = taken === 0;
    return taken > 0;
  }
}

/** The sum that is reserved in a folder; nothing where it isn't known. */
export function usedBytes(folder: string): number | undefined {
  let used: number | undefined;
  changeUsed(join(folder, USED_BYTES), (before, isKnown) => {
    if (isKnown) used = before;
    return before;
  });
  return used;
}

/** Sets the sum that is reserved in a folder. */
export function setUsedBytes(folder: string, bytes: number): void {
  changeUsed(join(folder, USED_BYTES), () => bytes);
}

/** Changes the sum under its lock; `false` where others keep that. */
function changeUsed(path: string, change: (used: number, isKnown: boolean) => number): boolean {
  using file = openRegularFileSync(path, { read: true, write: true, create: true });
  if (!lock(file)) return false;
  const bytes = new Uint8Array(DIGITS + 1);
  const length = file.readSync(bytes) ?? 0;
  const text = new TextDecoder().decode(bytes.subarray(0, length));
  const isKnown = /^\d{20}\n?$/.test(text);
  const used = isKnown ? Number(text) : 0;
  const next = change(used, isKnown);
  if (next === used && isKnown) return true;
  file.seekSync(0, Deno.SeekMode.Start);
  file.writeSync(new TextEncoder().encode(`${String(next).padStart(DIGITS, "0")}\n`));
  return true;
}

/** Locks a file until it is closed; on file systems without locks, goes on without one. */
function lock(file: Deno.FsFile): boolean {
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  for (let tries = 0; tries < LOCK_TRIES; tries++) {
    try {
      if (file.tryLockSync(true)) return true;
    } catch {
      return true; // the sum may become wrong by what two writers reserve at once
    }
    Atomics.wait(sleeper, 0, 0, LOCK_WAIT_MS);
  }
  return false;
}

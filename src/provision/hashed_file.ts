/**
 * Downloads whose names carry the first digits of their SHA-256, as torchvision names its weights.
 *
 * @module
 */
import { formatMebibytes } from "../base/format.ts";
import { basename } from "node:path";
import { messageOf, reasonOf, UsageError } from "../base/errors.ts";
import { isDiskError } from "../base/system_errors.ts";
import { exists } from "../base/paths.ts";
import { type CachedThing, ensureCached } from "./cached.ts";
import { download } from "./download.ts";
import type { Progress } from "./progress.ts";
import { sha256OfFile } from "./wheel.ts";

/** Digits of a SHA-256 in a name. */
const DIGITS = 8;

/** A file whose name ends in `-<first 8 digits of its SHA-256>.<ending>`. */
export interface HashedFile extends CachedThing {
  /** The origin of the file, for messages: a URL, or the archive that contains it. */
  readonly source: string;
  /** The cure when the file can't be fetched, for messages. */
  readonly otherwise: string;
}

/** The relation between a file's SHA-256 and its name. */
export interface HashCheck {
  readonly matches: boolean;
  /** First 8 digits of the SHA-256, in hexadecimal. */
  readonly found: string;
  /** The digits in the name. */
  readonly expected: string;
}

/**
 * Compares a file with the digits in its name.
 *
 * @param name Name that carries the digits, where the file itself has another one
 */
export async function checkHash(path: string, name = basename(path)): Promise<HashCheck> {
  const expected = /-([0-9a-f]{8})\.\w+$/.exec(name)?.[1];
  if (!expected) throw new RangeError(`${name} doesn't end in digits of a SHA-256`);
  const found = (await sha256OfFile(path)).slice(0, DIGITS);
  return { matches: found === expected, found, expected };
}

/**
 * Makes sure that a file is here and is the one that its name promises.
 *
 * A file that is already here is read through each time: nobody knows whether it was fetched or put there by hand,
 * whole or not. That costs 0.1 s per 100 MB; a note of an earlier check would be another thing that can be wrong.
 *
 * @returns The file's path
 * @throws {UsageError} when it is another file, or the cache can't be written; and what `make` throws
 */
export async function ensureHashedFile(file: HashedFile, progress: Progress): Promise<string> {
  if (!await exists(file.path)) return await ensureCached(file, progress);
  await refuseOtherFile(file);
  return file.path;
}

/** Holds a file that somebody put in its place to its name. */
async function refuseOtherFile({ path, source, otherwise }: HashedFile): Promise<void> {
  const check = await checkHash(path).catch((error) => {
    throw new UsageError(
      `${path} can't be read (${reasonOf(error)}): put ${source} in its place, or ${otherwise}`,
    );
  });
  if (check.matches) return;
  const { found, expected } = check;
  const { size } = await Deno.stat(path);
  throw new UsageError(
    `${path} (${
      formatMebibytes(size)
    }) is cut short or another file: its SHA-256 begins with ${found}, ` +
      `expected ${expected}. Remove it and run again to have it fetched, put ${source} in its place, or ${otherwise}`,
  );
}

/**
 * Fetches a file and compares it with the digits in its name. What arrives is kept beside its place as `.part`, so
 * that the next attempt goes on where one was cut.
 *
 * @param target File to make
 * @param path Where it belongs in the end; its name has the digits
 * @param otherwise What to do without it, for messages
 * @throws {UsageError} when it can't be had or is another file, naming what to fetch and where to put it
 */
export async function fetchHashed(
  target: string,
  { url, path, otherwise }: { url: string; path: string; otherwise: string },
  progress: Progress,
): Promise<void> {
  const name = basename(path);
  const part = `${path}.part`;
  const byHand = `fetch ${url} by hand and put it at ${path}, or ${otherwise}`;
  // What an earlier attempt left may be of another server; only a file from this one alone says that it is wrong.
  for (let isRest = await sizeOf(part) > 0;; isRest = false) {
    await download(url, part, name, progress).catch(async (error) => {
      progress.signal?.throwIfAborted();
      if (isDiskError(error)) throw error;
      const kept = await sizeOf(part);
      const rest = kept > 0 ? `run again to go on after the ${formatMebibytes(kept)} here, ` : "";
      throw new UsageError(`${url} can't be fetched (${messageOf(error)}): ${rest}${byHand}`);
    });
    const { matches, found, expected } = await checkHash(part, name);
    if (matches) return await Deno.rename(part, target);
    await Deno.remove(part);
    if (isRest) continue;
    throw new UsageError(
      `${url} gave a file whose SHA-256 begins with ${found}, expected ${expected}: ${byHand}`,
    );
  }
}

async function sizeOf(path: string): Promise<number> {
  return await exists(path) ? (await Deno.stat(path)).size : 0;
}

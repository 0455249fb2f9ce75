/**
 * The folder of a run, and `latest`, which points to the newest.
 *
 * @module
 */
import { basename, join } from "node:path";
import { fileName } from "../base/names.ts";
import { reasonOf, UsageError } from "../base/errors.ts";
import { lstat, targetOf, writePointer } from "../base/pointer.ts";
import { removeAtStop } from "../base/signals.ts";

/**
 * Makes `<out>/<YYYYMMDD-HHMMSS>-<name>` (local time); a second run of the same second gets `-2`, and so on.
 *
 * @param out Folder of all runs, made when missing
 * @param name The run's name, of which the folder's has what file names may have
 * @returns The path of the new, empty folder
 * @throws {UsageError} when `out` can't be written
 */
export async function createRunFolder(
  out: string,
  name: string,
  now: Date = new Date(),
): Promise<string> {
  const first = join(out, `${timeStamp(now)}-${fileName(name, "run")}`);
  try {
    await Deno.mkdir(out, { recursive: true });
    for (let number = 1;; number++) {
      const folder = number === 1 ? first : `${first}-${number}`;
      if (await makeNew(folder)) return folder;
    }
  } catch (error) {
    throw new UsageError(
      `Output folder ${out} can't be written: ${reasonOf(error)}; name another with --out`,
    );
  }
}

/**
 * Makes a run folder whose path is given, unless it is there.
 *
 * @returns Its path
 * @throws {UsageError} when it can't be made
 */
export async function ensureRunFolder(folder: string): Promise<string> {
  try {
    await Deno.mkdir(folder, { recursive: true });
    return folder;
  } catch (error) {
    throw new UsageError(`Run folder ${folder} can't be made: ${reasonOf(error)}; name another`);
  }
}

/**
 * Lets `<out>/latest` stand for a run folder, replacing an older link atomically: a symbolic link, or a file with the
 * folder's name where there are no links.
 *
 * @param name Of the link
 * @returns Whether it stands for it now; `false` where a real file or folder has the name
 */
export async function pointLatest(
  out: string,
  folder: string,
  name: string = "latest",
): Promise<boolean> {
  const temporary = join(out, `.${name}.${crypto.randomUUID()}.tmp`);
  using _temporary = removeAtStop(temporary);
  try {
    // A relative target: the folder of all runs can be moved.
    await writePointer(temporary, basename(folder));
    await removable(join(out, name));
    await Deno.rename(temporary, join(out, name));
    return true;
  } catch {
    await Deno.remove(temporary).catch(() => {}); // nothing depends on the link
    return false;
  }
}

/** Makes a folder; `false` when something has the name already. */
async function makeNew(folder: string): Promise<boolean> {
  try {
    await Deno.mkdir(folder);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw error;
  }
}

/** Throws when `path` is something else than a link: a rename would replace a real file. */
async function removable(path: string): Promise<void> {
  if (await lstat(path) && await targetOf(path) === undefined) {
    throw new Error(`${path} is not a link`);
  }
}

function timeStamp(now: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  return `${day}-${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
}

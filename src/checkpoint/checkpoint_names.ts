/**
 * The names of a run's checkpoints: `best`, `last`, `last-1` and `epoch-5` stand for folders such as
 * `last@epoch3-step18-0a1b2c3d`, by a symbolic link or by a small file (see `base/pointer.ts`).
 *
 * A name may also be a real folder: that is what a copy without symbolic links makes of it (`cp -L`).
 *
 * @module
 */
import { basename, join } from "node:path";
import { exists, syncFolder } from "../base/paths.ts";
import { followPointers, lstat, targetOf, writePointer } from "../base/pointer.ts";

/** Exactly the names of folders that {@linkcode newFolderName} makes: nothing else is ever removed. */
const MADE = /^(best|last|epoch-\d+)(?:-1)?@epoch\d+-step\d+-[0-9a-f]{8}$/;

/** The file that a complete checkpoint has. */
export const INFO_FILE = "checkpoint.json";

/** Returns a name for a checkpoint's folder that no other has. */
export function newFolderName(name: string, { epoch, step }: { epoch: number; step: number }) {
  return `${name}@epoch${epoch}-step${step}-${crypto.randomUUID().slice(0, 8)}`;
}

/**
 * Lets a name stand for another folder from now on.
 *
 * @param folder The run's `checkpoints` folder
 * @param target Name of a complete checkpoint's folder in it
 * @param keepPrevious Let `<name>-1` stand for what the name stood for
 */
export async function pointName(
  folder: string,
  name: string,
  target: string,
  { keepPrevious = false } = {},
): Promise<void> {
  const path = join(folder, name);
  const next = nextOf(folder, name);
  await writePointer(next, target);
  let previous = await targetOf(path);
  if ((await lstat(path))?.isDirectory) {
    // Until the rename below, nothing has the name: a reader takes `next`, which is complete.
    previous = newFolderName(name, { epoch: 0, step: 0 });
    await Deno.rename(path, join(folder, previous));
  }
  if (keepPrevious && previous !== undefined) await pointName(folder, `${name}-1`, previous);
  await Deno.rename(next, path);
  await syncFolder(folder);
}

/** Returns the path of the folder that a checkpoint's path stands for. */
export async function folderOf(path: string): Promise<string> {
  const real = await followPointers(path);
  if (await exists(real)) return real;
  const next = nextOf(join(real, ".."), basename(real));
  return await exists(next) ? await followPointers(next) : real;
}

/** Returns the path of a name's next value until that value is moved over the name. */
function nextOf(folder: string, name: string): string {
  return join(folder, `.${name}.next`);
}

/**
 * Removes what a crash may have left in a checkpoints folder: folders that this program made and no name stands for.
 * Call it only once the checkpoint to go on from was read.
 */
export async function cleanCheckpoints(folder: string): Promise<void> {
  if (!await exists(folder)) return;
  for await (const { name } of Deno.readDir(folder)) {
    const pending = /^\.((?:best|last|epoch-\d+)(?:-1)?)\.next$/.exec(name)?.[1];
    if (pending === undefined) continue;
    if (await exists(join(folder, pending))) await Deno.remove(join(folder, name));
    else await Deno.rename(join(folder, name), join(folder, pending));
  }
  await removeUnnamed(folder);
}

/**
 * Removes a folder that {@linkcode pointName} couldn't give a name to: on a full disk it would take the room of the
 * next one. Where it is all that there is of the name, it stays.
 */
export async function dropUnnamed(folder: string, name: string, target: string): Promise<void> {
  const stands = await targetOf(join(folder, name));
  if (stands === target || await lstat(join(folder, name)) === undefined) return;
  await Deno.remove(nextOf(folder, name)).catch(() => {}); // it may not have come to be
  await Deno.remove(join(folder, target), { recursive: true });
}

/** Removes the checkpoints `<name>-<number>` with the lowest numbers, so that `keep` of them stay. */
export async function pruneCheckpoints(folder: string, name: string, keep: number): Promise<void> {
  const numbers: number[] = [];
  for await (const entry of Deno.readDir(folder)) {
    const number = entry.name.startsWith(`${name}-`)
      ? /^\d+$/.exec(entry.name.slice(name.length + 1))?.[0]
      : undefined;
    if (number === undefined) continue;
    const isCheckpoint = await targetOf(join(folder, entry.name)) !== undefined ||
      await exists(join(folder, entry.name, INFO_FILE));
    if (isCheckpoint) numbers.push(Number(number));
  }
  for (const number of numbers.sort((a, b) => b - a).slice(keep)) {
    await Deno.remove(join(folder, `${name}-${number}`), { recursive: true });
    await removeUnnamed(folder, `${name}-${number}`);
  }
}

/** Removes folders that this program made and no name stands for: of one name, or of all. */
export async function removeUnnamed(folder: string, name?: string): Promise<void> {
  const entries = await Array.fromAsync(Deno.readDir(folder));
  const named = new Set<string>();
  for (const entry of entries) {
    const target = entry.isDirectory ? undefined : await targetOf(join(folder, entry.name));
    if (target !== undefined) named.add(basename(target));
  }
  for (const entry of entries) {
    const of = MADE.exec(entry.name)?.[1];
    if (of === undefined || !entry.isDirectory || named.has(entry.name)) continue;
    if (name !== undefined && of !== name) continue;
    await Deno.remove(join(folder, entry.name), { recursive: true });
  }
}

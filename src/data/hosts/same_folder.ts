/**
 * Recognizes a folder that two hosts share: its files have the same numbers and times of change in their file system,
 * which copies haven't.
 *
 * @module
 */
import { join } from "node:path";
import { z } from "../../deps/zod.ts";
import type { SampleTable } from "../datasets/sample_table.ts";

/** Files that are compared. */
const MAX_WITNESSES = 64;

/** Form of {@linkcode Witnesses}. */
export const witnessesSchema = z.array(z.strictObject({
  path: z.string(),
  bytes: z.number(),
  /** Number of the file in its file system. */
  inode: z.number(),
  /** The time of the last change of the file or its attributes, in milliseconds since 1970. */
  changed: z.number(),
}));

/** Some files, spread over a folder, as their file system knows them; none where it doesn't number files. */
export type Witnesses = z.output<typeof witnessesSchema>;

/** Returns the witnesses of a folder. */
export async function witnessesOf(root: string, table: SampleTable): Promise<Witnesses> {
  const count = Math.min(MAX_WITNESSES, table.length);
  const rows = Array.from({ length: count }, (_, at) => Math.floor(at * table.length / count));
  const found = await Promise.all(rows.map((row) => witnessOf(root, table.path(row))));
  return found.filter((witness) => witness !== undefined);
}

/** Tells whether a folder is the one that the witnesses are from. */
export async function isSameFolder(root: string, witnesses: Witnesses): Promise<boolean> {
  const found = await Promise.all(witnesses.map(async (expected) => {
    const { inode, bytes, changed } = await witnessOf(root, expected.path) ?? {};
    return inode === expected.inode && bytes === expected.bytes && changed === expected.changed;
  }));
  return witnesses.length > 0 && !found.includes(false);
}

async function witnessOf(root: string, path: string): Promise<Witnesses[number] | undefined> {
  const info = await Deno.stat(join(root, path)).catch(() => undefined); // a file that can't be read is none
  const { ino, ctime, size } = info ?? {};
  if (typeof ino !== "number" || !ctime || size === undefined) return undefined;
  return { path, bytes: size, inode: ino, changed: ctime.getTime() };
}

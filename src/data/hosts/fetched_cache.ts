/**
 * The folder of data sets that a host has fetched, which all runs of the machine share: `fetched` in Lockstep's cache.
 *
 * Each list of files has a folder there, named by its content, and a lock beside it, which everybody who uses the files
 * holds. The folders are made, taken over and removed under one lock of all.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { UsageError } from "../../base/errors.ts";
import { lockFile, tryLockFile } from "../../base/file_lock.ts";
import { formatBytes } from "../../base/format.ts";
import { writeFileAtomically } from "../../base/paths.ts";
import { readRegularText } from "../../base/regular_file.ts";
import { z } from "../../deps/zod.ts";
import type { Manifest } from "./manifest.ts";

const TREE_FILE = "tree.json";
/** Names that begin so are folders on their way out. */
const REMOVED = ".removed~";
/** Digits of a list's content that name its folder. */
const NAME_DIGITS = 32;

const treeSchema = z.strictObject({
  treeVersion: z.literal(1),
  /** As {@linkcode Manifest.content} of the files in it. */
  content: z.string(),
  origin: z.string(),
  hostname: z.string(),
  root: z.string(),
  /** Bytes of all files, fetched or not yet. */
  bytes: z.number().nonnegative(),
});

type TreeFacts = z.output<typeof treeSchema>;

/** A folder of the cache. */
interface Tree {
  readonly name: string;
  readonly facts: TreeFacts | undefined;
  /** The time of its last use, in milliseconds since 1970. */
  readonly used: number;
}

/** Options of {@linkcode openFetchedTree}. */
export interface FetchedTreeOptions {
  /** The folder of all data sets. */
  readonly folder: string;
  /** The most bytes that all of them may take. */
  readonly limit: number;
  /** This host at the beginning of a sentence. */
  readonly hostName: string;
  readonly onWaiting: () => void;
  readonly signal?: AbortSignal | undefined;
}

/** A data set's folder in the cache, which stays as long as this isn't disposed of. */
export interface FetchedTree extends Disposable {
  readonly folder: string;
  /** The content of the files that are in it, which may be an older list. */
  content(): Promise<string | undefined>;
  /** Puts on record that the files of the list are those that belong into it. */
  adopt(): Promise<void>;
}

/**
 * Opens the folder of a list of files. An older list of the same folder of the same coordinator becomes this one, if
 * nobody uses it.
 *
 * @throws {UsageError} when there is no room within the limit
 */
export async function openFetchedTree(
  manifest: Manifest,
  { folder, limit, hostName, onWaiting, signal }: FetchedTreeOptions,
): Promise<FetchedTree> {
  const own = manifest.content.slice(0, NAME_DIGITS);
  const path = join(folder, own);
  if (manifest.totalBytes > limit) {
    throw new UsageError(
      `${hostName} can't fetch ${
        formatBytes(manifest.totalBytes)
      } of images: data.hostCacheBytes is ${
        formatBytes(limit)
      }; raise it, or give the host a copy and set data.hosts to copy`,
    );
  }
  await Deno.mkdir(folder, { recursive: true });
  const removed: string[] = [];
  let held: Disposable;
  {
    using _all = await lockFile(join(folder, ".lock"), { onWaiting, signal });
    held = await lockFile(lockOf(path), { isShared: true, signal });
    try {
      const trees = await treesIn(folder);
      if (!trees.some(({ name }) => name === own)) {
        await takeOver(folder, path, trees, manifest);
      }
      const others = (await treesIn(folder)).filter(({ name }) => name !== own);
      const room = limit - manifest.totalBytes;
      removed.push(...await makeRoom(folder, others, { room, limit, needed: manifest, hostName }));
      await Deno.mkdir(path, { recursive: true });
      const tree = join(path, TREE_FILE);
      await Deno.utime(tree, new Date(), new Date()).catch(() => {}); // a new one has no such file yet
      if (!await readTree(path)) await writeTree(path, { ...factsOf(manifest), content: "" });
    } catch (error) {
      held[Symbol.dispose]();
      throw error;
    }
  }
  // Outside of the lock, as it may take long; who dies here leaves the rest for the next one.
  for (const each of removed) await Deno.remove(each, { recursive: true }).catch(() => {});
  return {
    folder: path,
    content: async () => (await readTree(path))?.content,
    adopt: () => writeTree(path, factsOf(manifest)),
    [Symbol.dispose]: () => held[Symbol.dispose](),
  };
}

/** Makes an unused older list of the same folder the one at `path`. */
async function takeOver(
  folder: string,
  path: string,
  trees: readonly Tree[],
  { origin }: Manifest,
): Promise<void> {
  for (const { name, facts } of trees) {
    if (facts?.origin !== origin) continue;
    const old = join(folder, name);
    using free = await tryLockFile(lockOf(old));
    if (!free) continue;
    await Deno.rename(old, path);
    await Deno.remove(lockOf(old));
    return;
  }
}

/**
 * Removes data sets that nobody uses, those used longest ago first, until the others have room.
 *
 * @returns Folders that are to be deleted
 */
async function makeRoom(
  folder: string,
  trees: readonly Tree[],
  { room, limit, needed, hostName }: {
    room: number;
    limit: number;
    needed: Pick<Manifest, "totalBytes">;
    hostName: string;
  },
): Promise<string[]> {
  const removed: string[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    if (name.startsWith(REMOVED)) removed.push(join(folder, name));
  }
  let taken = trees.reduce((sum, { facts }) => sum + (facts?.bytes ?? 0), 0);
  for (const { name, facts } of trees.toSorted((a, b) => a.used - b.used)) {
    if (facts && taken <= room) continue;
    const old = join(folder, name);
    using free = await tryLockFile(lockOf(old));
    if (!free) continue;
    const target = join(folder, `${REMOVED}${randomUUID()}`);
    await Deno.rename(old, target);
    await Deno.remove(lockOf(old));
    removed.push(target);
    taken -= facts?.bytes ?? 0;
  }
  if (taken <= room) return removed;
  throw new UsageError(
    `${hostName} can't fetch ${formatBytes(needed.totalBytes)} of images: data.hostCacheBytes is ${
      formatBytes(limit)
    }, of which ${
      formatBytes(taken)
    } are in use by other runs of this machine; raise it, or wait for their end`,
  );
}

async function treesIn(folder: string): Promise<Tree[]> {
  const trees: Tree[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (!isDirectory || name.startsWith(".")) continue;
    const info = await Deno.stat(join(folder, name, TREE_FILE)).catch(() => undefined);
    trees.push({
      name,
      facts: await readTree(join(folder, name)),
      used: info?.mtime?.getTime() ?? 0,
    });
  }
  return trees;
}

/** The facts about a folder; nothing where they are missing or damaged, so that the folder is of no use. */
async function readTree(path: string): Promise<TreeFacts | undefined> {
  try {
    return treeSchema.parse(JSON.parse(await readRegularText(join(path, TREE_FILE))));
  } catch {
    return undefined;
  }
}

async function writeTree(path: string, facts: TreeFacts): Promise<void> {
  await writeFileAtomically(join(path, TREE_FILE), JSON.stringify(facts) + "\n");
}

function factsOf({ content, origin, hostname, root, totalBytes }: Manifest): TreeFacts {
  return { treeVersion: 1, content, origin, hostname, root, bytes: totalBytes };
}

function lockOf(path: string): string {
  return `${path}.lock`;
}

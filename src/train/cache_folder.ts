/**
 * The folder in which a run's workers keep decoded images, on each host its own.
 *
 * @module
 */
import { basename, dirname, join, relative } from "node:path";
import { calledPath, quotedPath } from "../base/called_paths.ts";
import { asLockstepError, LockstepError, messageOf, UsageError } from "../base/errors.ts";
import { counted } from "../base/format.ts";
import { canShareMemory, type SharedSegment } from "../base/shared_memory.ts";
import type { Config } from "../config/schema.ts";
import type { SampleSource } from "../data/datasets/image_set.ts";
import { setUsedBytes, usedBytes } from "../data/loading/disk_budget.ts";
import { createCounters, DiskCounters } from "../data/loading/disk_counters.ts";
import { countEntries, type DiskFolder, ENTRIES_FOLDER } from "../data/loading/disk_images.ts";
import type { Reporter } from "../events/reporter.ts";

/** A run's folder of kept images. Workers count what they do with it until it is disposed of. */
export interface CacheFolder extends Disposable {
  readonly place: DiskFolder;
  /** Describes the use of the folder so far, for messages. */
  report(): string;
  /** Says that a worker couldn't write into it; nothing where all could. */
  problem(): string | undefined;
}

/** The share of the limit from which the files are counted again: some may have gone since. */
const NEARLY_FULL = 0.75;
/** Milliseconds after which a file in the making was left by a process that has ended. */
const STALE_MS = 3_600_000;

/**
 * Opens the folder that `data.cacheDir` names, and makes it when it is missing.
 *
 * @returns `undefined` when none is named, or when it can't be used, which is a warning
 * @throws {UsageError} when it is a folder of the images
 */
export async function openCacheFolder(
  { data: { cacheDir, cacheDirBytes: limit } }: Pick<Config, "data">,
  { root, source }: { readonly root: string; readonly source: Pick<SampleSource, "ofFiles"> },
  reporter: Pick<Reporter, "warn">,
): Promise<CacheFolder | undefined> {
  if (!cacheDir) return undefined;
  if (!source.ofFiles) {
    reporter.warn("data.cacheDir is not used: it keeps image files only");
    return undefined;
  }
  if (isWithin(await realPath(cacheDir), await realPath(root))) {
    throw new UsageError(
      `data.cacheDir is ${quotedPath(cacheDir)}, a folder of the images in ${calledPath(root)}: ` +
        "name a folder outside of data.root",
    );
  }
  let folder: string;
  try {
    folder = await makeFolder(cacheDir, limit);
  } catch (error) {
    const reason = messageOf(asLockstepError(error, cacheDir));
    reporter.warn(`data.cacheDir is not used: ${reason}`);
    return undefined;
  }
  if (folder.includes(",")) {
    reporter.warn(
      `data.cacheDir is not used: workers get the right to write into it by its path (${folder}), which may have ` +
        "no comma; name another folder",
    );
    return undefined;
  }
  const counters = countersOf();
  return {
    place: { folder, limit, ...(counters ? { counters: placeOf(counters) } : {}) },
    report: () => counters ? describeUse(counters, cacheDir) : `Cache folder: ${cacheDir}`,
    problem: () => counters && problemIn(counters, cacheDir),
    [Symbol.dispose]: () => counters?.[Symbol.dispose](),
  };
}

/** Makes the folder of the entries, and makes sure that something can be written into it. */
async function makeFolder(cacheDir: string, limit: number): Promise<string> {
  await Deno.mkdir(join(cacheDir, ENTRIES_FOLDER), { recursive: true });
  const folder = await Deno.realPath(join(cacheDir, ENTRIES_FOLDER));
  const used = usedBytes(folder);
  if (used === undefined || used > NEARLY_FULL * limit) {
    setUsedBytes(folder, await countEntries(folder, Date.now() - STALE_MS));
  }
  return folder;
}

/** The path without links; of what isn't there yet, as it will be. */
async function realPath(path: string): Promise<string> {
  try {
    return await Deno.realPath(path);
  } catch {
    const above = dirname(path);
    return above === path ? path : join(await realPath(above), basename(path));
  }
}

function isWithin(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== ".." && !way.startsWith("../");
}

/** Counters that workers can reach, where there is memory for them: the folder is of use without. */
function countersOf(): SharedSegment | undefined {
  if (!canShareMemory()) return undefined;
  try {
    return createCounters();
  } catch (error) {
    if (error instanceof LockstepError) return undefined;
    throw error;
  }
}

const placeOf = ({ path, bytes }: SharedSegment) => ({ path, bytes });

const useOf = ({ ownPath, bytes }: SharedSegment) => new DiskCounters({ path: ownPath, bytes }).use;

function problemIn(counters: SharedSegment, cacheDir: string): string | undefined {
  if (useOf(counters).failures === 0) return undefined;
  return `data.cacheDir: images couldn't be written into ${
    quotedPath(cacheDir)
  }, and were decoded again: ` +
    "run.log has the reason";
}

function describeUse(counters: SharedSegment, cacheDir: string): string {
  const { hits, misses, written, writtenBytes } = useOf(counters);
  const share = hits + misses > 0 ? 100 * hits / (hits + misses) : 0;
  return `Cache folder ${quotedPath(cacheDir)}: ${share.toFixed(0)}% of ${
    counted(hits + misses, "image")
  } were there when asked for; ${written} written (${(writtenBytes / 1e6).toFixed(1)} MB)`;
}

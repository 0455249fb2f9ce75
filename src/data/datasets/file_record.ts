/**
 * A record of a run's image files: size, time of change and a hash of each, so that a resumed run notices images
 * that are other ones now.
 *
 * It is no part of the data's fingerprint: machines that work on the same run may have copies with other times.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { UsageError } from "../../base/errors.ts";
import { exists, writeFileAtomically } from "../../base/paths.ts";
import { readRegularFile } from "../../base/regular_file.ts";
import type { FileFacts } from "./image_set.ts";

/** Name of the record in a run folder: lines of JSON, compressed. */
export const FILE_RECORD = "data-files.jsonl.gz";

/** Bytes of images that are hashed before a run: about 2 s. Further files are known by size and time alone. */
const HASHED_BYTES = 2 ** 30;
/** Hexadecimal digits of a SHA-256 that are kept. */
const DIGITS = 16;
const LINES_AT_ONCE = 10_000;
const FILES_AT_ONCE = 8;

/** A file as it was recorded; the hash is `null` where there was too much to hash. */
export interface RecordedFile extends FileFacts {
  readonly hash: string | null;
}

/** Differences between recorded files and those that are here; paths with `train/` or `val/` as they lie. */
export interface FileChanges {
  /** Other content, or another class. */
  readonly changed: readonly string[];
  /** Another time of the last change, and no hash that would tell whether the content is the same. */
  readonly unsure: readonly string[];
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** Files with another time but the same content. */
  readonly touched: number;
}

/**
 * Records a run's files.
 *
 * @param folder The run folder
 * @param root The images' root
 * @param hashedBytes How much may be read to hash it
 */
export async function writeFileRecord(
  folder: string,
  root: string,
  files: readonly FileFacts[],
  hashedBytes = HASHED_BYTES,
): Promise<void> {
  const hashes: (string | null)[] = new Array(files.length).fill(null);
  let bytes = 0;
  await forEachAtOnce(files, async (file, index) => {
    bytes += Math.max(0, file.bytes);
    if (bytes <= hashedBytes) hashes[index] = await hashOf(join(root, file.path));
  });
  await writeFileAtomically(join(folder, FILE_RECORD), encode(files, hashes));
}

function* encode(
  files: readonly FileFacts[],
  hashes: readonly (string | null)[],
): Generator<Uint8Array> {
  for (let from = 0; from < files.length; from += LINES_AT_ONCE) {
    const lines = files.slice(from, from + LINES_AT_ONCE).map((
      { side, label, path, bytes, modified },
      index,
    ) => JSON.stringify([side, label, path, bytes, modified, hashes[from + index]]) + "\n");
    yield gzipSync(lines.join(""));
  }
}

/**
 * Reads the record of a run.
 *
 * @returns Nothing where the run has none
 * @throws {UsageError} when it is damaged
 */
export async function readFileRecord(folder: string): Promise<RecordedFile[] | undefined> {
  const path = join(folder, FILE_RECORD);
  if (!await exists(path)) return undefined;
  try {
    const text = gunzipSync(await readRegularFile(path)).toString();
    return text.trimEnd().split("\n").map((line) => {
      const [side, label, path, bytes, modified, hash] = JSON.parse(line);
      return { side, label, path, bytes, modified, hash };
    });
  } catch {
    throw new UsageError(
      `${path} is damaged: restore it, or remove it to go on without a look at the images' contents`,
    );
  }
}

/** Compares recorded files with those that are here. Reads only files whose time differs. */
export async function compareFiles(
  recorded: readonly RecordedFile[],
  root: string,
  files: readonly FileFacts[],
): Promise<FileChanges> {
  const changed: string[] = [], unsure: string[] = [], added: string[] = [];
  let touched = 0;
  const keyOf = ({ side, path }: FileFacts) => `${side}\0${path}`;
  const before = new Map(recorded.map((file) => [keyOf(file), file]));
  await forEachAtOnce(files, async (file) => {
    const { path, label, bytes, modified } = file;
    const known = before.get(keyOf(file));
    before.delete(keyOf(file));
    if (!known) added.push(path);
    else if (known.bytes !== bytes || known.label !== label) changed.push(path);
    else if (known.modified === modified) return;
    else if (known.hash === null) unsure.push(path);
    else if (await hashOf(join(root, path)) !== known.hash) changed.push(path);
    else touched++;
  });
  const removed = Array.from(before.values(), ({ path }) => path);
  return { changed: changed.sort(), unsure: unsure.sort(), added: added.sort(), removed, touched };
}

/** A file's hash; `null` where it can't be read, which its reading will say in time. */
async function hashOf(path: string): Promise<string | null> {
  try {
    const bytes = await readRegularFile(path);
    return createHash("sha256").update(bytes).digest("hex").slice(0, DIGITS);
  } catch {
    return null;
  }
}

async function forEachAtOnce<Item>(
  items: readonly Item[],
  action: (item: Item, index: number) => Promise<void>,
): Promise<void> {
  const entries = items.entries(); // shared: each item is taken once
  const work = async () => {
    for (const [index, item] of entries) await action(item, index);
  };
  await Promise.all(Array.from({ length: FILES_AT_ONCE }, work));
}

/**
 * A record of a run's image files: size, time of change and maybe a hash of each, so that a resumed run notices images
 * that are other ones now.
 *
 * It is no part of the data's fingerprint: machines that work on the same run may have copies with other times.
 *
 * @module
 */
import { join } from "node:path";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { createGunzip, gzip } from "node:zlib";
import { UsageError } from "../../base/errors.ts";
import { exists, writeFileAtomically } from "../../base/paths.ts";
import { readRegularFile } from "../../base/regular_file.ts";
import type { FileHashes } from "../file_hashes.ts";
import { digestOf, forEachAtOnce } from "./file_digest.ts";
import type { FileFacts, FileTable } from "./image_set.ts";

/** Name of the record in a run folder: lines of JSON, compressed. */
export const FILE_RECORD = "data-files.jsonl.gz";

/** The most that `auto` hashes. */
const AUTO_BYTES = 2 ** 30, AUTO_FILES = 50_000;
/** Hexadecimal digits of a SHA-256 that are kept. */
const DIGITS = 16;
const LINES_AT_ONCE = 10_000;
/** Level of the compression: higher ones take three times as long for a fifth less. */
const LEVEL = 1;

/** A file as it was recorded; the hash is `null` where none was taken. */
export interface RecordedFile extends FileFacts {
  readonly hash: string | null;
}

/** Recorded files, some at a time. */
export type FileRecord = AsyncIterable<readonly RecordedFile[]>;

/** Differences between recorded files and those that are here; paths with `train/` or `val/` as they lie. */
export interface FileChanges {
  /** Other content, as far as size or hash tell, or another class. */
  readonly changed: readonly string[];
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** Files with another time but the same content. */
  readonly touched: number;
  /** Files with another time and the same size, of which no hash is known. */
  readonly otherTime: number;
}

/**
 * Records a run's files.
 *
 * @param folder The run folder
 * @param root The images' root
 */
export async function writeFileRecord(
  folder: string,
  root: string,
  files: FileTable,
  hashes: FileHashes = "auto",
): Promise<void> {
  const known = hashesAll(files, hashes) ? await hashAll(root, files) : undefined;
  const parts: Promise<Uint8Array>[] = [];
  let lines: string[] = [];
  const compress = promisify<string, { level: number }, Uint8Array>(gzip);
  const end = () => {
    parts.push(compress(lines.join(""), { level: LEVEL }));
    lines = [];
    return parts.at(-2); // two at a time, so that few lines wait
  };
  let row = 0;
  for (const { side, label, path, bytes, modified } of files) {
    const hash = known?.[row++] ?? null;
    lines.push(JSON.stringify([side, label, path, bytes, modified, hash]) + "\n");
    if (lines.length === LINES_AT_ONCE) await end();
  }
  if (lines.length > 0) end();
  await writeFileAtomically(join(folder, FILE_RECORD), await Promise.all(parts));
}

function hashesAll(files: FileTable, hashes: FileHashes): boolean {
  if (hashes !== "auto") return hashes === "all";
  if (files.length > AUTO_FILES) return false;
  let total = 0;
  for (const { bytes } of files) total += Math.max(bytes, 0);
  return total <= AUTO_BYTES;
}

async function hashAll(root: string, files: FileTable): Promise<(string | null)[]> {
  const hashes: (string | null)[] = new Array(files.length).fill(null);
  await forEachAtOnce(files, async ({ path }, row) => {
    hashes[row] = await hashOf(join(root, path));
  });
  return hashes;
}

/**
 * Reads the record of a run.
 *
 * @returns Nothing where the run has none; reading on throws a {@linkcode UsageError} when it is damaged
 */
export async function readFileRecord(folder: string): Promise<FileRecord | undefined> {
  const path = join(folder, FILE_RECORD);
  return await exists(path) ? recordedFiles(path) : undefined;
}

async function* recordedFiles(path: string): AsyncGenerator<RecordedFile[]> {
  try {
    const decoder = new TextDecoder();
    let text = "";
    for await (const part of Readable.from([await readRegularFile(path)]).pipe(createGunzip())) {
      text += decoder.decode(part as Uint8Array, { stream: true });
      const end = text.lastIndexOf("\n");
      if (end < 0) continue;
      yield text.slice(0, end).split("\n").map(recordedFile);
      text = text.slice(end + 1);
    }
    if (text !== "") yield [recordedFile(text)];
  } catch {
    throw new UsageError(
      `${path} is damaged: restore it, or remove it to go on without a look at the images' contents`,
    );
  }
}

function recordedFile(line: string): RecordedFile {
  const [side, label, path, bytes, modified, hash] = JSON.parse(line);
  return { side, label, path, bytes, modified, hash };
}

/**
 * Compares recorded files with those that are here: by class, path and size; files whose time differs also by their
 * hash, where one was recorded.
 *
 * @param hashes `all` compares also files of the same time by their hash
 */
export async function compareFiles(
  recorded: FileRecord,
  root: string,
  files: FileTable,
  hashes: FileHashes = "auto",
): Promise<FileChanges> {
  const changed: string[] = [], removed: string[] = [];
  const doubtful: { path: string; hash: string; isSameTime: boolean }[] = [];
  const seen = new Uint8Array(files.length);
  let otherTime = 0, next = 0;
  for await (const some of recorded) {
    for (const known of some) {
      const row = rowOf(files, known, next);
      if (row < 0) {
        removed.push(known.path);
        continue;
      }
      next = row + 1;
      seen[row] = 1;
      const { path, label, bytes, modified } = files.at(row)!;
      if (known.bytes !== bytes || known.label !== label) {
        changed.push(path);
        continue;
      }
      const isSameTime = known.modified === modified;
      if (isSameTime && (hashes !== "all" || known.hash === null)) continue;
      if (known.hash === null) otherTime++;
      else doubtful.push({ path, hash: known.hash, isSameTime });
    }
  }
  let touched = 0;
  await forEachAtOnce(doubtful, async ({ path, hash, isSameTime }) => {
    if (await hashOf(join(root, path)) !== hash) changed.push(path);
    else if (!isSameTime) touched++;
  });
  const added: string[] = [];
  for (const [row, isSeen] of seen.entries()) if (!isSeen) added.push(files.at(row)!.path);
  return { changed: changed.sort(), added: added.sort(), removed, touched, otherTime };
}

/**
 * Finds the files that are as they were recorded, by class, path, size and time.
 *
 * @returns 1 for the row of each such file, 0 for others
 */
export async function unchangedFiles(recorded: FileRecord, files: FileTable): Promise<Uint8Array> {
  const unchanged = new Uint8Array(files.length);
  let next = 0;
  for await (const some of recorded) {
    for (const known of some) {
      const row = rowOf(files, known, next);
      if (row < 0) continue;
      next = row + 1;
      const { label, bytes, modified } = files.at(row)!;
      const isSame = known.label === label && known.bytes === bytes && known.modified === modified;
      unchanged[row] = isSame && bytes >= 0 ? 1 : 0;
    }
  }
  return unchanged;
}

/** The row of a recorded file, which most often comes behind that of the one before. */
function rowOf(files: FileTable, { side, path }: RecordedFile, guess: number): number {
  const here = files.at(guess);
  return here?.path === path && here.side === side ? guess : files.rowOf(side, path);
}

/** A file's hash; `null` where it can't be read, which its reading will say in time. */
async function hashOf(path: string): Promise<string | null> {
  return (await digestOf(path))?.toHex().slice(0, DIGITS) ?? null;
}

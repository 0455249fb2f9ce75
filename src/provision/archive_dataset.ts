/**
 * Data sets that are one archive: fetched or put in place by hand, checked, unpacked, counted.
 *
 * @module
 */
import { basename, join } from "node:path";
import { messageOf, UsageError } from "../base/errors.ts";
import { calledPath, callPath } from "../base/called_paths.ts";
import { isDiskFull } from "../base/system_errors.ts";
import { exists } from "../base/paths.ts";
import { onlyFolder, unpackArchive } from "./archive.ts";
import type { ArchiveFacts } from "./dataset_catalogue.ts";
import { download } from "./download.ts";
import { hashOfFile } from "./file_hash.ts";
import type { Progress } from "./progress.ts";
import { ArchiveError } from "./unpacked_folder.ts";

const INSTEAD = "set data.root to a folder or an archive of your own";

/** Bytes of a record of CIFAR-10: a label and 32 × 32 pixels of three colours. */
const CIFAR_RECORD_BYTES = 3073;
const CIFAR_TRAIN_FILES = 5;

/** The paths that {@linkcode makeFromArchive} reads and writes. */
export interface ArchiveDatasetPlaces {
  /** Folder to make, with the data set in it. */
  readonly target: string;
  /** Folder for temporary files. */
  readonly scratch: string;
  /** Folder in which an archive may have been put by hand, and in which a part of a download is kept. */
  readonly folder: string;
  /** For people. */
  readonly what: string;
}

/** Returns the path of an archive in the cache; a partial download lies beside it. */
export function archivePlace(
  { source }: ArchiveFacts,
  folder: string,
): { archive: string; part: string } {
  const archive = join(folder, basename(new URL(source).pathname));
  return { archive, part: `${archive}.part` };
}

/**
 * Makes a data set out of its archive. One that was put by hand where {@linkcode archivePlace} says is used and
 * stays; one that was fetched is removed once it is unpacked.
 *
 * @throws {UsageError} when the archive can't be had, or is another one
 */
export async function makeFromArchive(
  facts: ArchiveFacts,
  { target, scratch, folder, what }: ArchiveDatasetPlaces,
  progress: Progress,
): Promise<void> {
  const { archive } = archivePlace(facts, folder);
  const byHand = await exists(archive);
  progress({ what, note: `${byHand ? `using ${archive}` : `fetching ${facts.source}`}` });
  progress({ what, note: `terms: ${facts.licence}` });
  if (byHand) await requireHash(archive, facts, `remove ${archive}, or ${cure(facts, archive)}`);
  else {
    callPath(archive, addressOf(facts));
    await fetchArchive(facts, folder, progress);
  }
  const unpacked = join(scratch, "unpacked");
  try {
    await unpackArchive(archive, unpacked, progress);
    const found = await onlyFolder(unpacked);
    for (const path of facts.leaveOut ?? []) {
      if (await exists(join(found, path))) await Deno.remove(join(found, path));
    }
    await requireContent(found, facts, archive);
    await Deno.writeTextFile(join(found, "about.json"), aboutJson(facts));
    await Deno.rename(found, target);
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error;
    if (!byHand) await Deno.remove(archive); // the next attempt fetches it anew
    throw new UsageError(`${error.message}. To go on, ${cure(facts, archive)}`);
  }
  if (!byHand) await Deno.remove(archive);
}

/** Returns the source of an archive, for messages. */
function addressOf({ source }: ArchiveFacts): string {
  const { origin, pathname } = new URL(source);
  return origin + pathname;
}

/** Fetches the archive to its place; what an earlier attempt left is gone on with. */
async function fetchArchive(
  facts: ArchiveFacts,
  folder: string,
  progress: Progress,
): Promise<void> {
  const { source } = facts;
  const { archive, part } = archivePlace(facts, folder);
  await download(source, part, basename(archive), progress).catch((error) => {
    progress.signal?.throwIfAborted();
    if (isDiskFull(error)) throw error; // the cache tells its cure
    throw new UsageError(
      `${source} can't be fetched (${messageOf(error)}): ${cure(facts, archive)}`,
    );
  });
  callPath(part, addressOf(facts));
  try {
    await requireHash(part, facts, cure(facts, archive));
  } catch (error) {
    await Deno.remove(part); // going on with it would never give the right file
    throw error;
  }
  await Deno.rename(part, archive);
}

/** The cure when the archive can't be fetched or isn't right. */
function cure({ source }: ArchiveFacts, archive: string): string {
  return `fetch ${source} by hand and put it at ${archive}, or ${INSTEAD}`;
}

async function requireHash(path: string, { md5 }: ArchiveFacts, cure: string): Promise<void> {
  if (md5 === undefined) return;
  const actual = await hashOfFile(path, "md5");
  if (actual === md5) return;
  const { size } = await Deno.stat(path);
  throw new UsageError(
    `The file ${
      calledPath(path)
    } (${size} bytes) is not the data set's archive: its MD5 is ${actual}, expected ${md5}; ` +
      cure,
  );
}

/** Counts what came out of the archive. */
async function requireContent(folder: string, facts: ArchiveFacts, archive: string): Promise<void> {
  const problem = facts.format === "cifar10"
    ? await cifarProblem(folder, facts)
    : await folderProblem(folder, facts);
  if (problem) {
    throw new ArchiveError(
      `The archive ${calledPath(archive)} is not the expected data set: ${problem}`,
    );
  }
}

async function folderProblem(folder: string, facts: ArchiveFacts): Promise<string | undefined> {
  for (const side of ["train", "val"] as const) {
    const name = facts[`${side}Folder`];
    let images = 0;
    for (const label of facts.classes) {
      const path = join(folder, name, label);
      if (!await isFolder(path)) return `it has no folder ${name}/${label}`;
      for await (const file of Deno.readDir(path)) {
        if (/^[^.].*\.(jpe?g|png|gif)$/i.test(file.name)) images++;
      }
    }
    const expected = facts[side];
    if (facts.atLeast ? images < expected : images !== expected) {
      const least = facts.atLeast ? "at least " : "";
      return `its ${name}/ has ${images} images, expected ${least}${expected}`;
    }
  }
  return undefined;
}

async function cifarProblem(folder: string, facts: ArchiveFacts): Promise<string | undefined> {
  const files = new Map([["test_batch.bin", facts.val]]);
  for (let number = 1; number <= CIFAR_TRAIN_FILES; number++) {
    files.set(`data_batch_${number}.bin`, facts.train / CIFAR_TRAIN_FILES);
  }
  for (const [name, records] of files) {
    const path = join(folder, name);
    if (!await exists(path)) return `it has no ${name}`;
    const { size } = await Deno.stat(path);
    const expected = records * CIFAR_RECORD_BYTES;
    if (size !== expected) return `its ${name} has ${size} bytes, expected ${expected}`;
  }
  return undefined;
}

function aboutJson({ source, licence, classes, train, val }: ArchiveFacts): string {
  const about = { source, licence, classes, counts: { train, val } };
  return JSON.stringify(about, null, 2) + "\n";
}

async function isFolder(path: string): Promise<boolean> {
  return await exists(path) && (await Deno.stat(path)).isDirectory;
}

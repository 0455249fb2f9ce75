/**
 * Finds image files that can't be used, without decoding them: before a run starts, rather than in its
 * middle.
 *
 * @module
 */
import { giving } from "../../base/invocation.ts";
import { listed } from "../../base/listing.ts";
import { join } from "node:path";
import { calledPath, quotedPath } from "../../base/called_paths.ts";
import { shellWord } from "../../base/shell.ts";
import { reasonOf, UsageError } from "../../base/errors.ts";
import { bulkCalls } from "../../base/bulk_calls.ts";
import { openRegularFile, openRegularFileSync } from "../../base/regular_file.ts";
import { HeaderError } from "../codecs/header_error.ts";
import { type ImageSize, readImageSize, requireFormat, tooLarge } from "../codecs/image_header.ts";
import { NOT_UTF8 } from "./image_files.ts";
import type { ImageSet, Sample, SampleList } from "./image_set.ts";

/** A file that can't be used. */
export interface FileProblem {
  readonly sample: Sample;
  /** As the end of a sentence. */
  readonly reason: string;
  /** True if the image has more pixels than are allowed, and may be an image like any other. */
  readonly isTooLarge: boolean;
}

type Problem = Omit<FileProblem, "sample">;

/** Bytes that are read first: most files have their size in them. */
const HEAD_BYTES = 4096;
/** Bytes that are read next, if the first ones lack the size; a JPEG's metadata are seldom longer. */
const LONG_HEAD_BYTES = 2 ** 20;
/** Bytes of the shortest file that can be an image (a GIF of one pixel has 26 and more). */
const MIN_BYTES = 26;
/** Files that a message names. */
const MAX_NAMED = 5;

/** The options of {@linkcode findUnusableFiles}. */
export interface FileLimits {
  /** As `data.maxPixels`; unless given, sizes aren't looked at. */
  readonly maxPixels?: number;
  readonly signal?: AbortSignal | undefined;
  /** 1 at the position of each sample whose file is known to be usable. */
  readonly known?: Uint8Array | undefined;
}

/**
 * Looks at the first bytes of files.
 *
 * @param root Folder that the samples' paths are relative to
 * @returns Those that are missing, unreadable, empty, of a format that isn't decoded or too large, in the samples'
 * order. Where a size stands behind a MiB of metadata, or a file is damaged elsewhere, only decoding tells
 */
export async function findUnusableFiles(
  root: string,
  samples: SampleList,
  { maxPixels = Infinity, signal, known }: FileLimits = {},
): Promise<FileProblem[]> {
  const found: { position: number; problem: FileProblem }[] = [];
  const suspects: number[] = [];
  const head = new Uint8Array(HEAD_BYTES);
  const look = async (position: number) => {
    const sample = samples.at(position)!;
    const problem = await problemOf(join(root, sample.path), maxPixels);
    if (problem) found.push({ position, problem: { sample, ...problem } });
  };
  await bulkCalls(samples.length, {
    sync: (position) => {
      if (known?.[position]) return;
      const path = `${root}/${samples.at(position)!.path}`;
      if (!isUsable(path, head, maxPixels)) suspects.push(position);
    },
    async: async (position) => {
      if (!known?.[position]) await look(position);
    },
  }, { signal });
  for (const position of suspects) await look(position);
  return found.sort((a, b) => a.position - b.position).map(({ problem }) => problem);
}

/** Tells whether the first bytes of a file show that it can be used; {@linkcode problemOf} knows of the others. */
function isUsable(path: string, head: Uint8Array, maxPixels: number): boolean {
  try {
    using file = openRegularFileSync(path);
    const length = file.readSync(head) ?? 0;
    if (length < MIN_BYTES) return false;
    requireFormat(head.subarray(0, length));
    const size = readImageSize(head.subarray(0, length), length < head.length);
    return size !== undefined && tooLarge(size, maxPixels) === undefined;
  } catch {
    return false;
  }
}

async function problemOf(path: string, maxPixels: number): Promise<Problem | undefined> {
  const head = new Uint8Array(HEAD_BYTES);
  try {
    using file = await openRegularFile(path);
    const length = await file.read(head) ?? 0;
    requireFormat(head.subarray(0, length));
    if (length < MIN_BYTES) return damage(`it is cut off after ${length} bytes`);
    const size = readImageSize(head.subarray(0, length), length < head.length) ??
      await readLongHead(file, head.length);
    const reason = size && tooLarge(size, maxPixels);
    return reason === undefined ? undefined : { reason, isTooLarge: true };
  } catch (error) {
    if (error instanceof HeaderError) return damage(error.message);
    if (!(error instanceof Deno.errors.NotFound)) {
      return damage(`the file can't be read: ${reasonOf(error)}`);
    }
    return damage(
      path.includes(NOT_UTF8)
        ? "its name isn't UTF-8: rename it, such as with convmv -r -f latin1 -t utf8 --notest"
        : "the file is missing",
    );
  }
}

function damage(reason: string): Problem {
  return { reason, isTooLarge: false };
}

/** The size of a file that has it behind the first bytes. */
async function readLongHead(file: Deno.FsFile, known: number): Promise<ImageSize | undefined> {
  for (let bytes = 16 * known; bytes <= LONG_HEAD_BYTES; bytes *= 16) {
    await file.seek(0, Deno.SeekMode.Start);
    const longer = new Uint8Array(bytes);
    const length = await readFully(file, longer);
    const size = readImageSize(longer.subarray(0, length), length < bytes);
    if (size) return size;
  }
  return undefined;
}

/** Fills `bytes` as far as the file goes. */
async function readFully(file: Deno.FsFile, bytes: Uint8Array): Promise<number> {
  let length = 0;
  while (length < bytes.length) {
    const more = await file.read(bytes.subarray(length));
    if (more === null) break;
    length += more;
  }
  return length;
}

/** The options of {@linkcode checkFiles}. */
export interface FileCheckOptions {
  /** As `data.onError`. */
  readonly onError: "fail" | "skip";
  readonly signal?: AbortSignal | undefined;
  /** 1 for the row of each file that is known to be usable. */
  readonly known?: Uint8Array | undefined;
}

/**
 * Checks all files of a set of images, if its samples are files.
 *
 * @returns With `skip`: a warning that names what will be left out, if there is something
 * @throws {UsageError} with `fail`, when a file can't be used; with `skip`, when a class has none left
 */
export async function checkFiles(
  set: ImageSet,
  { onError, signal, known }: FileCheckOptions,
): Promise<string | undefined> {
  if (!set.source.ofFiles) return undefined;
  const limits = { ...set.source.ofFiles, signal };
  const first = set.train.length;
  const [knownTrain, knownVal] = [known?.subarray(0, first), known?.subarray(first)];
  const train = await findUnusableFiles(set.root, set.train, { ...limits, known: knownTrain });
  const val = await findUnusableFiles(set.root, set.val, { ...limits, known: knownVal });
  const problems = [...train, ...val];
  if (problems.length === 0) return undefined;
  const total = set.train.length + set.val.length;
  const what = `${problems.length} of ${total} images of ${quotedPath(set.root)} can't be used: ` +
    shown(problems);
  const check = `\`deno task data check ${
    shellWord(calledPath(set.root))
  }\` lists all that is wrong`;
  const larger = problems.some(({ isTooLarge }) => isTooLarge) ? ", raise data.maxPixels" : "";
  if (onError === "fail") {
    const how = giving("data.onError", "skip");
    const leaveOut = how === undefined ? "" : `, or leave them out with ${how}`;
    throw new UsageError(
      `${what}; mend or remove them${larger}${leaveOut} (${check})`,
    );
  }
  for (const [side, bad] of [["train", train], ["val", val]] as const) {
    const emptied = emptiedClass(set, side, bad);
    if (emptied === undefined) continue;
    const purpose = side === "train" ? "train" : "validate";
    throw new UsageError(
      `${what}; class ${
        JSON.stringify(emptied)
      } has none left to ${purpose}: mend or remove them${larger} (${check})`,
    );
  }
  return `${what}; they are left out, since data.onError is skip (${check})`;
}

function shown(problems: readonly FileProblem[]): string {
  const names = problems.map(({ sample, reason }) => `${JSON.stringify(sample.path)} (${reason})`);
  return listed(names, { max: MAX_NAMED });
}

/** The first class of which no file is left. */
function emptiedClass(
  set: ImageSet,
  side: "train" | "val",
  bad: readonly FileProblem[],
): string | undefined {
  if (bad.length === 0) return undefined;
  const left = new Int32Array(set.classes.length);
  for (const { label } of set[side]) left[label]!++;
  for (const { sample } of bad) left[sample.label]!--;
  const emptied = bad.find(({ sample }) => left[sample.label] === 0);
  return emptied && set.classes[emptied.sample.label];
}

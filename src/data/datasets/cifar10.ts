/**
 * CIFAR-10 in its binary version: records of one byte for the class and 32 × 32 pixels, a plane each of red,
 * green and blue, row by row (Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009).
 *
 * @module
 */
import { createHash, type Hash } from "node:crypto";
import { join } from "node:path";
import { quotedPath } from "../../base/called_paths.ts";
import { reasonOf, UsageError } from "../../base/errors.ts";
import { exists } from "../../base/paths.ts";
import { openRegularFile, openRegularFileSync, readRegularText } from "../../base/regular_file.ts";
import { DataError } from "../codecs/data_error.ts";
import type { ImageSet, Sample, SampleSource, SourceRecipe } from "./image_set.ts";
import { cropRgb, type PartOf, type RgbImage } from "../codecs/rgb_image.ts";

/** Width and height of an image, in pixels. */
const SIDE = 32;
const PIXELS = SIDE * SIDE;
/** A label and three planes. */
const RECORD_BYTES = 1 + 3 * PIXELS;
/** Records that a scan reads at a time: about a megabyte. */
const RECORDS_AT_ONCE = 340;

const CLASSES = 10;
const META_FILE = "batches.meta.txt";
const TRAIN_FILES = [
  "data_batch_1.bin",
  "data_batch_2.bin",
  "data_batch_3.bin",
  "data_batch_4.bin",
  "data_batch_5.bin",
] as const;
const VAL_FILE = "test_batch.bin";
/** Names of all files. */
export const CIFAR10_FILES: readonly string[] = [META_FILE, ...TRAIN_FILES, VAL_FILE];

/** The archive's only folder. */
const ARCHIVED_FOLDER = "cifar-10-batches-bin";

const AGAIN = "fetch the archive again (cifar-10-binary.tar.gz)";

/**
 * Lists the images of CIFAR-10: training images of the five batches, validation images of the test batch.
 * Files may have any number of whole records.
 *
 * @param root The folder with the `.bin` files, or the folder above it
 * @throws {UsageError} when a file is missing, empty, cut short, or has a label that no class has
 */
export async function scanCifar10(root: string): Promise<ImageSet> {
  const folder = await batchesFolder(root);
  const classes = await readClasses(folder);
  const hash = createHash("sha256").update(`${classes.join("\0")}\n`);
  const train: Sample[] = [];
  for (const file of TRAIN_FILES) await scanBatch(folder, file, train, hash);
  const val: Sample[] = [];
  await scanBatch(folder, VAL_FILE, val, hash);
  const fingerprint = hash.digest("hex");
  return { root, classes, train, val, fingerprint, source: new CifarSource(folder) };
}

/** Tells whether a folder, or the one below it that CIFAR-10's archive makes, has its training files. */
export async function holdsCifar10(root: string): Promise<boolean> {
  const [first] = TRAIN_FILES;
  return await exists(join(root, first)) || await exists(join(root, ARCHIVED_FOLDER, first));
}

/** The folder itself or the only one in it that holds what is looked for. */
async function batchesFolder(root: string): Promise<string> {
  let names: string[];
  try {
    names = (await Array.fromAsync(Deno.readDir(root))).map(({ name }) => name).sort();
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound
      ? "is missing"
      : `can't be read: ${reasonOf(error)}`;
    throw new UsageError(
      `Folder ${quotedPath(root)} ${reason}; name the folder of CIFAR-10 with data.root`,
    );
  }
  if (names.some((name) => CIFAR10_FILES.includes(name))) return await complete(root);
  const below: string[] = [];
  for (const name of names) {
    const found = await Promise.all(CIFAR10_FILES.map((file) => exists(join(root, name, file))));
    if (found.includes(true)) below.push(join(root, name));
  }
  const [only] = below;
  if (only !== undefined && below.length === 1) return await complete(only);
  if (below.length > 1) {
    throw new UsageError(
      `Folder ${quotedPath(root)} has CIFAR-10 several times (${
        below.map(quotedPath).join(", ")
      }): ` +
        "name one of them with data.root",
    );
  }
  throw new UsageError(
    `Folder ${quotedPath(root)} has no files of CIFAR-10's binary version (${
      CIFAR10_FILES.join(", ")
    }): ` +
      "unpack cifar-10-binary.tar.gz there, name that archive as data.root, or set data.dataset to cifar10",
  );
}

async function complete(folder: string): Promise<string> {
  const missing: string[] = [];
  for (const file of CIFAR10_FILES) if (!await exists(join(folder, file))) missing.push(file);
  if (missing.length === 0) return folder;
  throw new UsageError(
    `Folder ${quotedPath(folder)} lacks ${
      missing.join(", ")
    } of CIFAR-10's binary version: ${AGAIN}`,
  );
}

async function readClasses(folder: string): Promise<string[]> {
  const path = join(folder, META_FILE);
  const names = (await readRegularText(path)).split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  if (names.length === CLASSES && new Set(names).size === CLASSES) return names;
  throw new UsageError(
    `${quotedPath(path)} has ${new Set(names).size} different names of classes, one a line, ` +
      `expected ${CLASSES}: ${AGAIN}`,
  );
}

async function openBatch(path: string): Promise<Deno.FsFile> {
  try {
    return await openRegularFile(path);
  } catch (error) {
    throw new UsageError(`${quotedPath(path)} can't be read: ${reasonOf(error)}; ${AGAIN}`);
  }
}

/** Adds a file's samples to a list, and its name, size and bytes to a hash. */
async function scanBatch(
  folder: string,
  name: string,
  samples: Sample[],
  hash: Hash,
): Promise<void> {
  const path = join(folder, name);
  using file = await openBatch(path);
  const { size } = await file.stat();
  if (size === 0 || size % RECORD_BYTES !== 0) {
    const records = Math.floor(size / RECORD_BYTES);
    const problem = size === 0
      ? "is empty"
      : `has ${size} bytes, which is no multiple of ${RECORD_BYTES}: it is cut short or damaged after ` +
        `${records} whole images`;
    throw new UsageError(`${quotedPath(path)} ${problem}; ${AGAIN}`);
  }
  hash.update(`${name}\0${size}\n`);
  const buffer = new Uint8Array(RECORDS_AT_ONCE * RECORD_BYTES);
  for (let record = 0; record * RECORD_BYTES < size;) {
    const filled = fill(file, buffer);
    hash.update(buffer.subarray(0, filled));
    for (let at = 0; at + RECORD_BYTES <= filled; at += RECORD_BYTES, record++) {
      const label = buffer[at]!; // a whole record
      if (label >= CLASSES) {
        throw new UsageError(
          `${quotedPath(path)}: image ${record} (byte ${
            record * RECORD_BYTES
          }) has the label ${label}, ` +
            `but there are only the classes 0 to ${
              CLASSES - 1
            }: the file is damaged or of another format; ` +
            AGAIN,
        );
      }
      samples.push({ path: `${name}#${record}`, label, index: samples.length });
    }
    if (filled % RECORD_BYTES !== 0 || filled === 0) {
      throw new UsageError(`${quotedPath(path)} became shorter while it was read; ${AGAIN}`);
    }
  }
}

/** Fills a buffer from where the file stands; fewer bytes are the file's end. */
function fill(file: Deno.FsFile, buffer: Uint8Array): number {
  let filled = 0;
  while (filled < buffer.length) {
    const count = file.readSync(buffer.subarray(filled));
    if (count === null) break;
    filled += count;
  }
  return filled;
}

/** Reads records where they lie: no images are kept in memory. Seeking and reading are one synchronous act. */
export class CifarSource implements SampleSource {
  readonly cheap = true;
  readonly recipe: SourceRecipe;
  readonly #folder: string;
  readonly #files = new Map<string, Deno.FsFile>();
  readonly #record = new Uint8Array(RECORD_BYTES);

  /** @param folder Where the files lie */
  constructor(folder: string) {
    this.#folder = folder;
    this.recipe = { kind: "cifar10", folder };
  }

  read(sample: Sample, part?: PartOf): Promise<RgbImage> {
    return new Promise((resolve) => resolve(this.readSync(sample, part)));
  }

  readSync({ path, label }: Sample, part?: PartOf): RgbImage {
    const image = this.#read(path, label);
    const box = part?.(image);
    return box ? cropRgb(image, box) : image;
  }

  #read(path: string, label: number): RgbImage {
    const [name = "", record] = path.split("#");
    let filled: number;
    try {
      const file = this.#open(name);
      file.seekSync(Number(record) * RECORD_BYTES, Deno.SeekMode.Start);
      filled = fill(file, this.#record);
    } catch (error) {
      throw new DataError(path, `the file can't be read: ${reasonOf(error)}`, { cause: error });
    }
    if (filled < RECORD_BYTES || this.#record[0] !== label) {
      throw new DataError(path, "the file has changed since the start");
    }
    return { width: SIDE, height: SIDE, data: interleaved(this.#record) };
  }

  #open(name: string): Deno.FsFile {
    const open = this.#files.get(name);
    if (open) return open;
    const file = openRegularFileSync(join(this.#folder, name));
    this.#files.set(name, file);
    return file;
  }

  [Symbol.dispose](): void {
    for (const file of this.#files.values()) file.close();
    this.#files.clear();
  }
}

/** From planes to pixels, [32, 32, 3]; the record's first byte is its label. */
function interleaved(record: Uint8Array): Uint8Array {
  const data = new Uint8Array(3 * PIXELS);
  for (let pixel = 0, at = 0; pixel < PIXELS; pixel++, at += 3) {
    data[at] = record[1 + pixel]!;
    data[at + 1] = record[1 + PIXELS + pixel]!;
    data[at + 2] = record[1 + 2 * PIXELS + pixel]!;
  }
  return data;
}

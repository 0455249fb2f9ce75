/**
 * Images in a folder, as the transforms that are the same in each epoch make them: whoever needs an image the next
 * time, also in another run, reads its pixels instead of decoding the file.
 *
 * An entry is a file: a head of 64 bytes (the letters `LSIMAGE1`; width, height, and CRC-32 of the pixels as uint32,
 * little-endian; 12 bytes that are 0; the key, 32 bytes), then the pixels, uint8 [height, width, 3]. It is written under
 * another name and renamed, so that it is whole or absent; one that is damaged all the same is made anew.
 *
 * The key, SHA-256 over all that the pixels depend on, names the file: path, size and times of the image's file; the
 * transforms; the limit of pixels; the versions of Lockstep and TensorFlow. So nothing is ever out of date. What no run
 * asks for any more stays until the folder is removed.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { asLockstepError, LockstepError, messageOf } from "../../base/errors.ts";
import { openRegularFileSync, readRegularFileSync } from "../../base/regular_file.ts";
import type { SegmentPlace } from "../../base/shared_memory.ts";
import { z } from "../../deps/zod.ts";
import type { RgbImage } from "../codecs/rgb_image.ts";
import { DiskBudget } from "./disk_budget.ts";
import { DiskCounters } from "./disk_counters.ts";

/** Name of the folder with the entries in the one that the user named. */
export const ENTRIES_FOLDER = "lockstep-images-1";

/** To be raised when decoding, or a transform, makes other pixels than before. */
const PIXELS_VERSION = 1;

const HEAD_BYTES = 64;
const KEY_AT = 32;
const MAGIC = new TextEncoder().encode("LSIMAGE1");
/** Milliseconds without a change after which a file's times tell its content; Deno gives seconds of the last change. */
const SETTLED_MS = 2_000;
/** Ending of files that are being written. */
const TEMPORARY = ".tmp";
/** Ending of entries. */
const ENTRY = ".rgb";

/** Form of a {@linkcode DiskFolder} in a message to another process. */
export const diskFolderSchema = z.strictObject({
  /** The folder with the entries, which must be there. */
  folder: z.string(),
  /** The most that the entries may take, in bytes. */
  limit: z.int().positive(),
  /** Memory of counters of what is found and written. */
  counters: z.strictObject({ path: z.string(), bytes: z.int().positive() }).optional(),
});

/** A folder of entries. */
export type DiskFolder = z.output<typeof diskFolderSchema>;

/** A folder of entries, and what decides the pixels of the images in it; plain data, for other threads. */
export interface DiskImagesRecipe extends DiskFolder {
  /** Folder that the samples' paths are relative to. */
  readonly root: string;
  /** Larger images are refused. */
  readonly maxPixels: number;
  /** The versions of what decodes. */
  readonly decoder: string;
  /** The transforms that are run on the images, as JSON. */
  readonly fixed: string;
}

/** Some images of a folder of entries. */
export class DiskImages implements Disposable {
  readonly #recipe: DiskImagesRecipe;
  readonly #made: string;
  readonly #budget: DiskBudget;
  readonly #counters: DiskCounters | undefined;
  readonly #now: () => number;
  #isBroken = false;

  /**
   * @param now The time in ms since 1970
   */
  constructor(recipe: DiskImagesRecipe, now: () => number = Date.now) {
    const { root, maxPixels, decoder, fixed, counters } = recipe;
    this.#recipe = recipe;
    this.#made = JSON.stringify([PIXELS_VERSION, Deno.build.arch, decoder, maxPixels, fixed, root]);
    this.#budget = new DiskBudget(recipe.folder, recipe.limit);
    this.#counters = counters && openCounters(counters);
    this.#now = now;
  }

  /** @internal */
  hasRoom(bytes: number): boolean {
    return !this.#isBroken && !this.#budget.isFull && bytes + HEAD_BYTES <= this.#recipe.limit;
  }

  /**
   * Returns the place of a sample's image, by its file as that is now.
   *
   * @param path Relative to the root
   * @returns Nothing where the file can't be asked for: reading it says why
   */
  find(path: string): DiskEntry | undefined {
    let info: Deno.FileInfo;
    try {
      info = Deno.statSync(join(this.#recipe.root, path));
    } catch {
      return undefined;
    }
    const { size, mtime, ctime } = info;
    const facts = [path, size, mtime?.getTime(), ctime?.getTime()];
    const key = createHash("sha256").update(`${this.#made}\n${JSON.stringify(facts)}`).digest();
    // A file that has just been changed could be changed again without another time.
    const isSettled = this.#now() - Math.max(+(mtime ?? 0), +(ctime ?? 0)) >= SETTLED_MS;
    return new DiskEntry(this, key, isSettled);
  }

  /** @internal */
  read(key: Uint8Array): RgbImage | undefined {
    let bytes: Uint8Array;
    try {
      bytes = readRegularFileSync(this.#pathOf(key).path);
    } catch {
      bytes = new Uint8Array(); // it isn't there, or can't be read: then it is made
    }
    const image = imageOf(bytes, key);
    this.#counters?.add(image ? "hits" : "misses");
    return image;
  }

  /** @internal */
  write(key: Uint8Array, image: RgbImage): void {
    const { width, height, data, ready } = image;
    if (ready || data.length !== width * height * 3) return;
    const bytes = HEAD_BYTES + data.length;
    if (this.#isBroken) return;
    try {
      if (!this.#budget.reserve(bytes)) return;
    } catch (error) {
      return this.#break(error);
    }
    try {
      this.#writeEntry(key, image);
      this.#counters?.add("written");
      this.#counters?.add("writtenBytes", bytes);
    } catch (error) {
      this.#budget.release(bytes);
      this.#break(error);
    }
  }

  /** Gives back the room that was reserved and not used. */
  [Symbol.dispose](): void {
    this.#budget[Symbol.dispose]();
  }

  #writeEntry(key: Uint8Array, { width, height, data }: RgbImage): void {
    const { folder, path } = this.#pathOf(key);
    const temporary = `${path}.${Deno.pid}.${randomBytes(4).toString("hex")}${TEMPORARY}`;
    const head = headOf(key, width, height, crc32(data));
    try {
      Deno.mkdirSync(folder, { recursive: true });
      {
        using file = openRegularFileSync(temporary, { write: true, createNew: true, create: true });
        for (const part of [head, data]) writeAllSync(file, part);
      }
      Deno.renameSync(temporary, path);
    } catch (error) {
      try {
        Deno.removeSync(temporary);
      } catch {
        // It isn't there, or can't be removed; the error that matters is the one before.
      }
      throw error;
    }
  }

  /** Writes no more, and says so once: a run goes on without what it can't keep. */
  #break(error: unknown): void {
    this.#isBroken = true;
    if (this.#counters && !this.#counters.isFirstFailure()) return;
    const reason = messageOf(asLockstepError(error, this.#recipe.folder));
    console.error(`data.cacheDir: no more images are written, and the run goes on: ${reason}`);
  }

  #pathOf(key: Uint8Array): { folder: string; path: string } {
    const name = Buffer.from(key).toString("hex");
    const folder = join(this.#recipe.folder, name.slice(0, 2));
    return { folder, path: join(folder, `${name}${ENTRY}`) };
  }
}

/** Opens counters, where they are those of another process of this machine. */
function openCounters(place: SegmentPlace): DiskCounters | undefined {
  try {
    return new DiskCounters(place);
  } catch (error) {
    if (error instanceof LockstepError) return undefined; // the images are of use without them
    throw error;
  }
}

/** The place of one image. */
export class DiskEntry {
  readonly #images: DiskImages;
  readonly #key: Uint8Array;
  readonly #isSettled: boolean;

  constructor(images: DiskImages, key: Uint8Array, isSettled: boolean) {
    this.#images = images;
    this.#key = key;
    this.#isSettled = isSettled;
  }

  /** Tells whether {@linkcode write} would write an image of `bytes` bytes. */
  hasRoom(bytes: number): boolean {
    return this.#isSettled && this.#images.hasRoom(bytes);
  }

  /** The image, when it is there and whole. */
  read(): RgbImage | undefined {
    return this.#images.read(this.#key);
  }

  /** Writes the image, when there is room for it. A failure is no error: it is said once, and no more are written. */
  write(image: RgbImage): void {
    if (this.#isSettled) this.#images.write(this.#key, image);
  }
}

/**
 * Counts the bytes of the entries in a folder, and removes what writers that were ended have left.
 *
 * @param staleBefore Files in the making are left over when they were last changed before that time, in ms since 1970
 */
export async function countEntries(folder: string, staleBefore: number): Promise<number> {
  let bytes = 0;
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (!isDirectory || !/^[0-9a-f]{2}$/.test(name)) continue;
    for (const entry of Deno.readDirSync(join(folder, name))) {
      const path = join(folder, name, entry.name);
      try {
        const { size, mtime } = Deno.lstatSync(path);
        const isLeftOver = entry.name.endsWith(TEMPORARY) && (mtime?.getTime() ?? 0) < staleBefore;
        if (isLeftOver) Deno.removeSync(path);
        else bytes += size;
      } catch {
        // Another run has renamed or removed it.
      }
    }
  }
  return bytes;
}

/** The image in an entry; nothing where it isn't one of that key, or isn't as it was written. */
function imageOf(bytes: Uint8Array, key: Uint8Array): RgbImage | undefined {
  if (bytes.length <= HEAD_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [width, height, crc] = [8, 12, 16].map((at) => view.getUint32(at, true)) as Numbers;
  const data = bytes.subarray(HEAD_BYTES);
  const head = headOf(key, width, height, crc);
  const isHead = head.every((byte, at) => bytes[at] === byte);
  if (!isHead || data.length !== width * height * 3 || crc32(data) !== crc) return undefined;
  return { width, height, data };
}

type Numbers = [number, number, number];

function headOf(key: Uint8Array, width: number, height: number, crc: number): Uint8Array {
  const head = new Uint8Array(HEAD_BYTES);
  head.set(MAGIC);
  const view = new DataView(head.buffer);
  for (const [index, number] of [width, height, crc].entries()) {
    view.setUint32(8 + 4 * index, number, true);
  }
  head.set(key, KEY_AT);
  return head;
}

function writeAllSync(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let offset = 0; offset < bytes.length;) offset += file.writeSync(bytes.subarray(offset));
}

/**
 * Decoded images in memory that the threads of a process, or all workers of a machine, share: what one of them has
 * decoded, the others find.
 *
 * In the segment stand, each part at a multiple of 64 bytes: for each rank what it has found and kept and how full
 * its part is; for each sample where its image begins (in units of 64 bytes, 0 when it isn't kept); for each rank its
 * own part for images, which it fills from the start. An image is its width and height, and its pixels 64 bytes
 * further. Any number of threads may write at once: counts and the end of a part are moved atomically, and a sample's
 * place is written after all that it points to. When two threads keep the same image at once, either place is right.
 *
 * @module
 */
import {
  createSharedSegment,
  mapSharedSegment,
  type SharedSegment,
} from "../../base/shared_memory.ts";
import type { ImageCache } from "./image_cache.ts";
import type { RgbImage } from "../codecs/rgb_image.ts";

const UNIT = 64;
/** Places are 32-bit numbers. */
const MAX_BYTES = UNIT * 2 ** 32;

/** The sizes that determine the segment's layout. */
export interface SharedImagesShape {
  /** Of the whole segment. */
  readonly bytes: number;
  readonly worldSize: number;
  /** Training images, then validation images. */
  readonly samples: number;
}

/** The use of the cache by all ranks together. */
export interface CacheUse {
  /** Images that are kept; one that two ranks keep counts twice. */
  readonly images: number;
  /** The bytes that the images take. */
  readonly bytes: number;
  /** Images that were asked for and found. */
  readonly hits: number;
  /** Images that were asked for and had to be decoded. */
  readonly misses: number;
}

/** One rank's numbers: 64 bits each. */
const USE = ["images", "bytes", "hits", "misses"] as const;
/** Behind them, in units of 64 bytes, 32 bits: the place at which the rank's next image begins. */
const NEXT_WORD = USE.length * 2;

/**
 * Makes the segment, all of it reserved.
 *
 * @throws {LockstepError} when there isn't that much memory
 */
export function createSharedImages(bytes: number): SharedSegment {
  return createSharedSegment("lockstep-images", bytes);
}

/** The least segment in which a rank can keep anything. */
export function leastSharedBytes(
  { worldSize, samples }: Omit<SharedImagesShape, "bytes">,
): number {
  return layoutOf({ bytes: 0, worldSize, samples }).images + worldSize * 2 * UNIT;
}

/** A cache that another thread can open, too. */
export interface SharedCache extends ImageCache {
  readonly address: CacheAddress;
}

/** The means to open a list's cache in another thread of the process. */
export interface CacheAddress {
  /** Path of the segment, or memory of this process alone. */
  readonly memory: string | SharedArrayBuffer;
  readonly shape: SharedImagesShape;
  readonly rank: number;
  /** The position of the list's begin among all samples. */
  readonly first: number;
}

/** Opens a list's cache. */
export function openCache({ memory, shape, rank, first }: CacheAddress): SharedCache {
  return new SharedImages(memory, shape, rank).listFrom(first);
}

/**
 * Makes a cache of one list of samples for the threads of this process. The system gives the memory page by page, as
 * it is filled.
 *
 * @param bytes The most that the pixels may take
 * @returns Nothing where there aren't that many addresses
 */
export function createProcessCache(bytes: number, samples: number): SharedCache | undefined {
  const shape = {
    bytes: bytes + leastSharedBytes({ worldSize: 1, samples }),
    worldSize: 1,
    samples,
  };
  try {
    return openCache({ memory: new SharedArrayBuffer(shape.bytes), shape, rank: 0, first: 0 });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** A thread's view of the segment. */
export class SharedImages {
  readonly #address: Omit<CacheAddress, "first">;
  readonly #memory: Uint8Array;
  readonly #words: Uint32Array;
  readonly #places: Uint32Array;
  readonly #uses: BigInt64Array[];
  /** This rank's numbers. */
  readonly #use: BigInt64Array;
  /** The place at which this rank's next image begins, counted from the begin of its part. */
  readonly #next: Uint32Array;
  /** The place at which this rank's part begins, and its length: units. */
  readonly #begin: number;
  readonly #length: number;

  /**
   * @param memory Where the segment is found, or the memory itself
   * @param rank Whose part to fill; a process that only looks may leave it out
   * @throws {LockstepError} when the segment's maker is gone
   */
  constructor(memory: string | SharedArrayBuffer, shape: SharedImagesShape, rank = 0) {
    const { bytes, worldSize, samples } = shape;
    const layout = layoutOf(shape);
    this.#address = { memory, shape, rank };
    this.#memory = typeof memory === "string"
      ? mapSharedSegment(memory, bytes)
      : new Uint8Array(memory);
    const { buffer } = this.#memory;
    this.#words = new Uint32Array(buffer, 0, Math.floor(bytes / 4));
    this.#places = new Uint32Array(buffer, layout.places, samples);
    const useOf = (each: number) => new BigInt64Array(buffer, each * UNIT, USE.length);
    this.#uses = Array.from({ length: worldSize }, (_, each) => useOf(each));
    this.#use = useOf(rank);
    this.#next = new Uint32Array(buffer, rank * UNIT + NEXT_WORD * 4, 1);
    this.#begin = (layout.images + rank * layout.part) / UNIT;
    this.#length = layout.part / UNIT;
  }

  /** The use of the cache by all ranks so far. */
  get use(): CacheUse {
    const sum = (name: keyof CacheUse) =>
      this.#uses.reduce((total, use) => total + Number(use[USE.indexOf(name)]!), 0);
    return { images: sum("images"), bytes: sum("bytes"), hits: sum("hits"), misses: sum("misses") };
  }

  /**
   * The cache of one list of samples.
   *
   * @param first The position of the list's begin among all samples
   */
  listFrom(first: number): SharedCache {
    return {
      address: { ...this.#address, first },
      get: (index) => this.#get(first + index),
      hasRoom: (bytes) => this.#hasRoom(bytes),
      put: (index, image) => this.#put(first + index, image),
    };
  }

  #get(sample: number): RgbImage | undefined {
    const place = Atomics.load(this.#places, sample);
    this.#count(place === 0 ? "misses" : "hits", 1);
    if (place === 0) return undefined;
    const word = place * (UNIT / 4), at = (place + 1) * UNIT;
    const width = this.#words[word]!, height = this.#words[word + 1]!; // as they were put
    return { width, height, data: this.#memory.subarray(at, at + width * height * 3) };
  }

  /** Adds to one of this rank's numbers. */
  #count(name: keyof CacheUse, more: number): void {
    Atomics.add(this.#use, USE.indexOf(name), BigInt(more));
  }

  #hasRoom(bytes: number): boolean {
    return Atomics.load(this.#next, 0) + unitsOf(bytes) <= this.#length;
  }

  #put(sample: number, { width, height, data, ready }: RgbImage): void {
    if (ready) return; // it has no bytes
    if (Atomics.load(this.#places, sample) !== 0) return;
    const units = unitsOf(data.byteLength);
    const taken = this.#take(units);
    if (taken === undefined) return;
    const place = this.#begin + taken, at = place * UNIT;
    this.#words.set([width, height], at / 4);
    this.#memory.set(data, at + UNIT);
    this.#count("images", 1);
    this.#count("bytes", units * UNIT);
    Atomics.store(this.#places, sample, place);
  }

  /** Takes units of this rank's part, when there are as many. */
  #take(units: number): number | undefined {
    for (let next = Atomics.load(this.#next, 0);;) {
      if (next + units > this.#length) return undefined;
      const found = Atomics.compareExchange(this.#next, 0, next, next + units);
      if (found === next) return next;
      next = found;
    }
  }
}

/** Units of an image: one for its size, then its pixels. */
function unitsOf(bytes: number): number {
  return 1 + Math.ceil(bytes / UNIT);
}

function layoutOf({ bytes, worldSize, samples }: SharedImagesShape) {
  const places = worldSize * UNIT;
  const images = roundUp(places + samples * 4);
  const room = Math.max(Math.min(bytes, MAX_BYTES) - images, 0);
  return { places, images, part: Math.floor(room / worldSize / UNIT) * UNIT };
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / UNIT) * UNIT;
}

/**
 * Decoded images in memory that all workers of a machine share: what one of them has decoded, the others
 * find.
 *
 * In the segment stand, each part at a multiple of 64 bytes: for each rank what it has found and kept; for each
 * sample where its image begins (in units of 64 bytes, 0 when it isn't kept); for each rank its own part
 * for images, which it fills from the start. An image is its width and height, and its pixels 64 bytes
 * further. So each number has one writer, but for a sample's place: when two ranks keep the same image at
 * once, either place is right. A place is written after all that it points to.
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

/** One rank's numbers. */
const USE = ["images", "bytes", "hits", "misses"] as const;

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

/** A process's view of the segment. */
export class SharedImages {
  readonly #memory: Uint8Array<ArrayBuffer>;
  readonly #words: Uint32Array;
  readonly #places: Uint32Array;
  readonly #uses: Float64Array[];
  /** This rank's numbers. */
  readonly #use: Float64Array;
  /** The offset at which this rank's next image begins, and the one at which the rank's part ends. */
  #next: number;
  readonly #end: number;

  /**
   * @param path Where the segment is found
   * @param rank Whose part to fill; a process that only looks may leave it out
   * @throws {LockstepError} when the segment's maker is gone
   */
  constructor(path: string, shape: SharedImagesShape, rank = 0) {
    const { bytes, worldSize, samples } = shape;
    const layout = layoutOf(shape);
    this.#memory = mapSharedSegment(path, bytes);
    const { buffer } = this.#memory;
    this.#words = new Uint32Array(buffer, 0, Math.floor(bytes / 4));
    this.#places = new Uint32Array(buffer, layout.places, samples);
    const useOf = (each: number) => new Float64Array(buffer, each * UNIT, USE.length);
    this.#uses = Array.from({ length: worldSize }, (_, each) => useOf(each));
    this.#use = useOf(rank);
    this.#next = layout.images + rank * layout.part;
    this.#end = this.#next + layout.part;
  }

  /** The use of the cache by all ranks so far. */
  get use(): CacheUse {
    const sum = (name: keyof CacheUse) =>
      this.#uses.reduce((total, use) => total + use[USE.indexOf(name)]!, 0);
    return { images: sum("images"), bytes: sum("bytes"), hits: sum("hits"), misses: sum("misses") };
  }

  /**
   * The cache of one list of samples.
   *
   * @param first The position of the list's begin among all samples
   */
  listFrom(first: number): ImageCache {
    return {
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
    this.#use[USE.indexOf(name)]! += more;
  }

  #hasRoom(bytes: number): boolean {
    return this.#next + UNIT + bytes <= this.#end;
  }

  #put(sample: number, { width, height, data, ready }: RgbImage): void {
    if (ready) return; // it has no bytes
    if (!this.#hasRoom(data.byteLength) || Atomics.load(this.#places, sample) !== 0) return;
    const at = this.#next, place = at / UNIT;
    this.#words.set([width, height], at / 4);
    this.#memory.set(data, at + UNIT);
    const taken = roundUp(UNIT + data.byteLength);
    this.#next += taken;
    this.#count("images", 1);
    this.#count("bytes", taken);
    Atomics.store(this.#places, sample, place);
  }
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

/**
 * One row of a batch: a sample's image, read, decoded, transformed and written into its place.
 *
 * Only this file knows what a row's bytes are: pixels and parameters for the device where it can do the last
 * transforms, else float32 [height, width, 3]. The loader, its threads and their memory move rows as bytes.
 *
 * @module
 */
import { LockstepError } from "../../base/errors.ts";
import { type RandomStream, randomStream } from "../../base/random.ts";
import { DataError } from "../codecs/data_error.ts";
import type { PartOf, RgbImage } from "../codecs/rgb_image.ts";
import type { Sample, SampleSource } from "../datasets/image_set.ts";
import { ByteImages, type Images, mixesOnDevice } from "../transforms/byte_images.ts";
import { type Mix, mixableRows, mixRows } from "../transforms/mix.ts";
import type { TransformPipeline } from "../transforms/transforms.ts";
import type { DiskEntry, DiskImages } from "./disk_images.ts";
import type { ImageCache } from "./image_cache.ts";
import { isUsable, type MadeRows, type StepOrder } from "./step_rows.ts";

const FLOAT_BYTES = 4;

/** The parts of a {@linkcode RowMaker}. */
export interface RowMakerParts {
  readonly source: SampleSource;
  readonly pipeline: TransformPipeline;
  readonly cache: ImageCache;
  /** Keeps images on the disk. */
  readonly disk?: DiskImages | undefined;
}

/** An image after the transforms that are the same in each epoch. */
export interface PreparedImage {
  readonly image: RgbImage;
  /** True if it is only the part that the first transform takes. */
  readonly cut: boolean;
}

/** The stream that draws a sample's augmentation. */
export function augmentation(seed: number, epoch: number, index: number): RandomStream {
  return randomStream(seed, "augment", epoch, index);
}

/** Makes rows of one list of samples. */
export class RowMaker {
  /** Bytes of a row. */
  readonly rowBytes: number;
  readonly #source: SampleSource;
  readonly #pipeline: TransformPipeline;
  readonly #cache: ImageCache;
  readonly #disk: DiskImages | undefined;

  constructor({ source, pipeline, cache, disk }: RowMakerParts) {
    this.#disk = disk;
    this.#source = source;
    this.#pipeline = pipeline;
    this.#cache = cache;
    this.rowBytes = pipeline.device?.rowBytes ?? pipeline.floats * FLOAT_BYTES;
  }

  /** Tells whether {@linkcode readSync} can be called. */
  get isSync(): boolean {
    return this.#source.readSync !== undefined;
  }

  /**
   * A sample's image after the transforms that are the same in each epoch, kept for other epochs; or, where it won't
   * be kept, only the part that is needed.
   *
   * @param random Draws the part
   * @throws {DataError} when the image can't be used
   */
  async read(sample: Sample, random: RandomStream, epoch: number): Promise<PreparedImage> {
    const { image, entry } = this.#kept(sample);
    if (image) return { image, cut: false };
    const wanted = this.#wanted(random, entry);
    const read = await this.#source.read(sample, wanted.part, epoch);
    return this.#prepared(sample, read, wanted.cut, entry);
  }

  /** {@linkcode read} on the calling thread, which waits for the image. */
  readSync(sample: Sample, random: RandomStream, epoch: number): PreparedImage {
    const { image, entry } = this.#kept(sample);
    if (image) return { image, cut: false };
    const wanted = this.#wanted(random, entry);
    const read = this.#source.readSync!(sample, wanted.part, epoch);
    return this.#prepared(sample, read, wanted.cut, entry);
  }

  /**
   * Runs the other transforms and writes the row.
   *
   * @param random The stream that the image was read with
   * @param rows Memory of a batch, aligned to 4 bytes
   * @returns The floats of an image that has floats of its own, where rows are bytes: nothing was written
   * @throws {DataError} when the image can't be used
   */
  write(
    { image, cut }: PreparedImage,
    sample: Sample,
    random: RandomStream,
    rows: Uint8Array,
    row: number,
  ): Float32Array | undefined {
    const pipeline = this.#pipeline;
    return usable(sample, () => {
      if (!pipeline.device) {
        pipeline.apply(image, random, floatsOf(rows), row * pipeline.floats, cut);
        return undefined;
      }
      if (image.ready) {
        pipeline.requireSize(image);
        return image.ready;
      }
      const target = rows.subarray(row * this.rowBytes, (row + 1) * this.rowBytes);
      pipeline.applyBytes(image, random, target, cut);
      return undefined;
    });
  }

  /** The images of a batch as the transforms make them, as nearest bytes: for people. */
  augmented({ image, cut }: PreparedImage, random: RandomStream): RgbImage {
    return this.#pipeline.augment(image, random, cut);
  }

  /**
   * Finishes the rows of a step in their places: mixes them unless the device does, and closes the gaps of those
   * without an image.
   *
   * @param rows The planned rows; when mixed, one more: the partner of the first row, or room for it
   * @param usable For each row that was to be made: whether there is something in its place
   * @param planned Rows of the step, without the partner
   */
  finish(rows: Uint8Array, usable: readonly boolean[], planned: number, mix?: Mix): void {
    const { rowBytes } = this;
    const isPartnerKept = this.#pipeline.device !== undefined && usable.length > planned;
    if (mix && planned > 0 && !this.#pipeline.device) {
      if (usable.length === planned) { // all of the step: the last row comes before the first one
        rows.copyWithin(planned * rowBytes, (planned - 1) * rowBytes, planned * rowBytes);
      }
      const mixed = mixableRows(withPartner(usable, planned));
      mixRows(floatsOf(rows), this.#pipeline.size, mixed, mix);
    }
    for (let row = 0, kept = 0; row < usable.length; row++) {
      if (row < planned ? !usable[row] : !isPartnerKept) continue;
      if (kept < row) rows.copyWithin(kept * rowBytes, row * rowBytes, (row + 1) * rowBytes);
      kept++;
    }
  }

  /**
   * The images of a step's finished rows, without those that can't be used.
   *
   * @param made Rows as {@linkcode finish} leaves them
   */
  images({ rows, outcomes, floats: own }: MadeRows, { planned, mix }: StepOrder): Images {
    const { device, floats: size } = this.#pipeline;
    const usable = outcomes.map(isUsable);
    const kept = usable.flatMap((isKept, row) => isKept && row < planned ? [row] : []);
    if (!device) return floatsOf(rows).subarray(0, kept.length * size);
    const places = mix && outcomes.length > planned ? [...kept, planned] : kept;
    const mixable = mix && mixableRows(withPartner(usable, planned));
    const images = new ByteImages({
      count: kept.length,
      transforms: device,
      data: rows.subarray(0, places.length * this.rowBytes),
      mix: mix && { ...mix, mixed: kept.map((row) => mixable![row]!) },
    });
    const isForDevice = !own?.size && (!mix || mixesOnDevice(device, mix));
    return isForDevice ? images : images.floats(places.map((row) => own?.get(row)));
  }

  /** The image that is kept, in memory or on the disk; without one, the place on the disk for it. */
  #kept({ index, path }: Sample): { image: RgbImage | undefined; entry?: DiskEntry | undefined } {
    const inMemory = this.#cache.get(index);
    if (inMemory || !this.#disk) return { image: inMemory };
    const entry = this.#disk.find(path);
    const image = entry?.read();
    if (image) this.#cache.put(index, image);
    return { image, entry };
  }

  /** The part to ask the source for, and whether it is taken. */
  #wanted(
    random: RandomStream,
    entry: DiskEntry | undefined,
  ): { part: PartOf | undefined; cut: () => boolean } {
    if (!this.#pipeline.cuts) return { part: undefined, cut: () => false };
    let cut = false;
    const part: PartOf = (size) => {
      const bytes = size.width * size.height * 3;
      cut = !this.#cache.hasRoom(bytes) && !entry?.hasRoom(bytes);
      return cut ? this.#pipeline.part(size, random) : undefined;
    };
    return { part, cut: () => cut };
  }

  #prepared(
    sample: Sample,
    image: RgbImage,
    cut: () => boolean,
    entry: DiskEntry | undefined,
  ): PreparedImage {
    if (cut()) return { image, cut: true };
    const prepared = usable(sample, () => this.#pipeline.prepare(image));
    this.#cache.put(sample.index, prepared);
    entry?.write(prepared);
    return { image: prepared, cut: false };
  }
}

/** The floats of rows. */
export function floatsOf(rows: Uint8Array): Float32Array {
  return new Float32Array(rows.buffer, rows.byteOffset, rows.byteLength / FLOAT_BYTES);
}

/**
 * Returns for the rows of a step, and the one before the first, whether they are usable.
 *
 * @param usable Without the last one where the step is complete: its last row comes before its first
 */
export function withPartner(usable: readonly boolean[], planned: number): boolean[] {
  return usable.length > planned ? [...usable] : [...usable, usable.at(-1) ?? false];
}

/** Runs a transform; what it has against the image becomes a {@linkcode DataError}. */
function usable<T>(sample: Sample, transform: () => T): T {
  try {
    return transform();
  } catch (error) {
    if (!(error instanceof LockstepError)) throw error;
    throw new DataError(sample.path, error.message, { cause: error });
  }
}

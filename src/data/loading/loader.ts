/**
 * Loading of batches of floats by a plan of samples: reading, decoding and transforming some batches ahead, while
 * the training step runs.
 *
 * @module
 */
import { memoryCure, outOfMemoryMessage, readMemoryState } from "../../engine/memory_limits.ts";
import { setImmediate } from "node:timers";
import { LockstepError } from "../../base/errors.ts";
import { type RandomStream, randomStream } from "../../base/random.ts";
import { Semaphore } from "../../base/semaphore.ts";
import { DataError } from "../codecs/data_error.ts";
import { type BatchMix, drawMix, type Mix, mixRows, type MixSpec } from "../transforms/mix.ts";
import { type ImageCache, LocalCache } from "./image_cache.ts";
import type { Sample, SampleList, SampleSource } from "../datasets/image_set.ts";
import type { PartOf, RgbImage } from "../codecs/rgb_image.ts";
import type { EpochStep } from "./sampler.ts";
import type { TransformPipeline } from "../transforms/transforms.ts";

/** Bytes of pixels that a loader keeps, so that later epochs needn't decode them again. */
const DEFAULT_CACHE_BYTES = 256 * 2 ** 20;

/** The parts of a {@linkcode Loader}. */
export interface LoaderOptions {
  /** Gives the samples' images. */
  source: SampleSource;
  /** The samples that the plans' indices point into. */
  samples: SampleList;
  pipeline: TransformPipeline;
  /** The mixes of rows with each other; not at all when empty or missing. */
  mix?: readonly MixSpec[];
  /** The effect of an image that can't be used: it ends the iteration or is left out. */
  onError: "fail" | "skip";
  /** Batches to have ready or in the making. */
  prefetch: number;
  /** Bytes of pixels to keep between epochs; 0 keeps none, which is the default of a cheap source. */
  cacheBytes?: number;
  /** The cache that keeps images, rather than in this process alone. */
  cache?: ImageCache | undefined;
  /** Images to read and decode at a time. */
  concurrency?: number | undefined;
  /** Samples that needn't be read any more: a batch marks their rows as `unread`. Not together with `mix`. */
  known?: { has(index: number): boolean } | undefined;
}

/** An image that was left out. */
export interface SkippedSample {
  readonly index: number;
  /** Relative to the root. */
  readonly path: string;
  readonly reason: string;
}

/** The samples of one step of one rank, without those that were skipped: `n` may be 0. */
export interface Batch {
  readonly step: number;
  /** [n, height, width, 3], as the pipeline's `Normalize` says, else 0–1. */
  readonly images: Float32Array<ArrayBuffer>;
  /** [n], positions in the list of classes. */
  readonly labels: Int32Array<ArrayBuffer>;
  /** [n], positions in the list of samples. */
  readonly indices: Uint32Array<ArrayBuffer>;
  readonly height: number;
  readonly width: number;
  readonly skipped: readonly SkippedSample[];
  /** The mix of the images, when the loader mixes. */
  readonly mix?: BatchMix;
  /** Rows of the loader's `known` samples: what `images` holds there is no image. Missing where all rows were read. */
  readonly unread?: ReadonlySet<number>;
}

/**
 * Makes sure that all rows of a batch hold images.
 *
 * @throws {RangeError} naming the first row that wasn't read
 */
export function requireImages({ unread }: Pick<Batch, "unread">): void {
  for (const row of unread ?? []) {
    throw new RangeError(
      `Row ${row} of the batch holds no image: its sample was known, and not read`,
    );
  }
}

/** The outcome of a row: its image is in its place, or the sample was known and not read. */
type RowOutcome = "image" | "unread";

/** The source of an epoch's randomness, and the means to stop the epoch. */
export interface EpochOptions {
  seed: number;
  /** Ends the iteration with the signal's reason. */
  signal?: AbortSignal | undefined;
  /**
   * True if each batch is done with when the next one is asked for: then the memory of its images becomes a
   * later batch's. Fresh memory costs a tenth of the time that an image takes.
   */
  reuse?: boolean;
}

/** The state that the batches of one iteration share. */
interface Iteration {
  readonly epoch: number;
  readonly seed: number;
  readonly queue: Semaphore;
  readonly signal: AbortSignal;
  /** Images of batches that are done with. */
  readonly spare: Float32Array<ArrayBuffer>[];
}

/**
 * Makes batches of one list of samples, for any number of epochs.
 *
 * @example
 * ```ts
 * import { Loader, type LoaderOptions } from "./loader.ts";
 * import { planEpoch } from "./sampler.ts";
 * async function epoch(options: LoaderOptions) {
 *   const plan = planEpoch({
 *     length: options.samples.length, globalBatch: 8, rank: 0, worldSize: 1, seed: 0, epoch: 0, shuffle: true,
 *   });
 *   for await (const batch of new Loader(options).batches(plan, 0, { seed: 0 })) console.log(batch.labels);
 * }
 * ```
 */
export class Loader {
  readonly #options: LoaderOptions;
  readonly #concurrency: number;
  readonly #cache: ImageCache;

  constructor(options: LoaderOptions) {
    if (options.known && (options.mix ?? []).length > 0) {
      throw new RangeError(
        "A loader can't mix images and leave known ones unread: a row needs both images",
      );
    }
    this.#options = options;
    const { cheap } = options.source;
    this.#cache = options.cache ??
      new LocalCache(options.cacheBytes ?? (cheap ? 0 : DEFAULT_CACHE_BYTES));
    this.#concurrency = options.concurrency ??
      Math.min(Math.max(navigator.hardwareConcurrency, 2), 8);
  }

  /**
   * The batches of a plan, in order. Pixels are a function of (seed, epoch, sample index) alone; when mixed,
   * of (seed, epoch, step) and the step's samples over all ranks.
   *
   * However the iteration ends, nothing is left running when it has ended. The engine must be open.
   *
   * @param plan Steps of this rank, as from `planEpoch`
   * @param epoch Decides the augmentation, with the seed and each sample's index
   * @throws {DataError} with `onError: "fail"`, naming the first image of a batch that can't be used
   */
  async *batches(
    plan: Iterable<EpochStep>,
    epoch: number,
    { seed, signal, reuse = false }: EpochOptions,
  ): AsyncGenerator<Batch, void, undefined> {
    const stop = new AbortController();
    const signals = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
    const queue = new Semaphore(this.#concurrency);
    const iteration: Iteration = { epoch, seed, queue, signal: signals, spare: [] };
    const ahead: Promise<Batch>[] = [];
    const steps = plan[Symbol.iterator]();
    const startOne = () => {
      const { value: step, done } = steps.next();
      if (done) return;
      const batch = this.#batch(step, iteration);
      batch.catch(() => {}); // whoever takes it from the queue sees the error
      ahead.push(batch);
    };
    try {
      signal?.throwIfAborted();
      for (let i = 0; i < this.#options.prefetch; i++) startOne();
      for (let first = ahead[0]; first; first = ahead[0]) {
        const batch = await first;
        ahead.shift();
        startOne();
        yield batch;
        if (reuse) iteration.spare.push(new Float32Array(batch.images.buffer));
        signal?.throwIfAborted();
      }
    } finally {
      stop.abort();
      await Promise.allSettled(ahead);
    }
  }

  /**
   * One sample's pixels after the transforms, as nearest bytes and not mixed: for images of what a network
   * sees.
   *
   * @throws {DataError} when the image can't be used
   */
  async augmented(index: number, epoch: number, seed: number): Promise<RgbImage> {
    const random = augmentation(seed, epoch, index);
    const { image, cut } = await this.#image(this.#sampleAt(index), random, epoch);
    return this.#options.pipeline.augment(image, random, cut);
  }

  /**
   * The images of a batch, mixed where it is, as nearest bytes: for images of what a network sees.
   *
   * @throws {RangeError} when a row of the batch wasn't read
   */
  imagesOf(batch: Batch): RgbImage[] {
    requireImages(batch);
    const { images, labels } = batch;
    const { pipeline } = this.#options;
    return Array.from(labels, (_, row) => pipeline.imageAt(images, row));
  }

  async #batch(
    plan: EpochStep,
    { epoch, seed, queue, signal, spare }: Iteration,
  ): Promise<Batch> {
    const { pipeline, mix: mixes = [], known } = this.#options;
    const { step, indices, globalRows, partnerIndex } = plan;
    const mix = drawMix(mixes, pipeline.size, randomStream(seed, "mix", epoch, step));
    // Another rank's last row is the partner of this one's first: it stands behind this rank's own rows.
    const fetchesPartner = mix && indices.length > 0 && indices.length < globalRows;
    const wanted = fetchesPartner ? [...indices, partnerIndex] : [...indices];
    const length = (indices.length + (mix ? 1 : 0)) * pipeline.floats;
    const last = spare.pop();
    const images = last?.length === length ? last : new Float32Array(length);
    const rows = await Promise.allSettled(
      wanted.map((index, row) =>
        queue.run(async (): Promise<RowOutcome> => {
          signal.throwIfAborted();
          if (known?.has(index)) return "unread";
          const random = augmentation(seed, epoch, index);
          const sample = this.#sampleAt(index);
          const { image, cut } = await this.#image(sample, random, epoch);
          // Transforms block: let messages and timers have their turn before each.
          await new Promise((resolve) => setImmediate(resolve));
          signal.throwIfAborted();
          usable(sample, () => {
            pipeline.apply(image, random, images, row * pipeline.floats, cut);
          });
          return "image";
        })
      ),
    );
    for (const [row, result] of rows.entries()) {
      if (result.status === "rejected") requireMemory(this.#sampleAt(wanted[row]!), result.reason);
      if (result.status === "rejected" && !this.#maySkip(result.reason)) {
        throw this.#withCure(result.reason);
      }
    }
    return this.#collate(plan, images, rows, mix && this.#mix(plan, images, rows, mix));
  }

  /** The sample of an index that a plan names. */
  #sampleAt(index: number): Sample {
    const sample = this.#options.samples.at(index);
    if (!sample) throw new RangeError(`There is no sample ${index}`);
    return sample;
  }

  /** An error that ends the iteration, with what can be done about it. */
  #withCure(error: unknown): unknown {
    if (!(error instanceof DataError)) return error;
    const { path, reason } = error;
    const others = this.#options.source.ofFiles ? "; `deno task data check` names all of them" : "";
    return new DataError(
      path,
      `${reason}; mend or remove it, or leave such images out with data.onError: skip${others}`,
      { cause: error },
    );
  }

  /** Tells whether an image that failed with `error` is left out. */
  #maySkip(error: unknown): error is DataError {
    return this.#options.onError === "skip" && error instanceof DataError;
  }

  /** Mixes the planned rows in their places. */
  #mix(
    { indices, partnerIndex }: EpochStep,
    images: Float32Array<ArrayBuffer>,
    rows: PromiseSettledResult<RowOutcome>[],
    mix: Mix,
  ): BatchMix {
    const { pipeline: { floats, size } } = this.#options;
    const usable = rows.map(({ status }) => status === "fulfilled");
    if (usable.length === indices.length) { // all of the step: the last row comes before the first one
      usable.push(usable.at(-1) ?? false);
      images.copyWithin(indices.length * floats, (indices.length - 1) * floats);
    }
    const mixed = mixRows(images, size, usable, mix);
    const partnerLabels = Int32Array.from(indices, (own, row) => {
      const partner = row === 0 ? partnerIndex : indices[row - 1]!;
      return this.#sampleAt(mixed[row] ? partner : own).label;
    });
    return { partnerLabels, share: mix.share };
  }

  /** Closes the gaps of images that can't be used. */
  #collate(
    { step, indices: planned }: EpochStep,
    images: Float32Array<ArrayBuffer>,
    rows: PromiseSettledResult<RowOutcome>[],
    mix: BatchMix | undefined,
  ): Batch {
    const { pipeline: { floats, size: [height, width] } } = this.#options;
    const skipped: SkippedSample[] = [];
    const kept: number[] = [];
    const unread = new Set<number>();
    planned.forEach((index, row) => {
      const result = rows[row]!;
      if (result.status === "rejected") {
        skipped.push({ index, path: this.#sampleAt(index).path, reason: result.reason.reason });
        return;
      }
      if (kept.length < row) {
        images.copyWithin(kept.length * floats, row * floats, (row + 1) * floats);
      }
      if (result.value === "unread") unread.add(kept.length);
      kept.push(row);
    });
    return {
      step,
      images: images.subarray(0, kept.length * floats),
      labels: Int32Array.from(kept, (row) => this.#sampleAt(planned[row]!).label),
      indices: Uint32Array.from(kept, (row) => planned[row]!),
      height,
      width,
      skipped,
      ...(unread.size > 0 ? { unread } : {}),
      ...(mix && {
        mix: { ...mix, partnerLabels: Int32Array.from(kept, (row) => mix.partnerLabels[row]!) },
      }),
    };
  }

  /**
   * A sample's image after the transforms that are the same in each epoch, kept for other epochs; or, where
   * it won't be kept, only the part that is needed.
   *
   * @param random Draws the part
   */
  async #image(
    sample: Sample,
    random: RandomStream,
    epoch: number,
  ): Promise<{ image: RgbImage; cut: boolean }> {
    const { source, pipeline } = this.#options;
    const kept = this.#cache.get(sample.index);
    if (kept) return { image: kept, cut: false };
    let cut = false;
    const partOf: PartOf = (size) => {
      cut = !this.#cache.hasRoom(size.width * size.height * 3);
      return cut ? pipeline.part(size, random) : undefined;
    };
    const image = await source.read(sample, pipeline.cuts ? partOf : undefined, epoch);
    if (cut) return { image, cut };
    const prepared = usable(sample, () => pipeline.prepare(image));
    this.#cache.put(sample.index, prepared);
    return { image: prepared, cut };
  }
}

/** An image isn't to blame, and never skipped, when there was no memory to read it. */
function requireMemory({ path }: Sample, error: unknown): void {
  const message = outOfMemoryMessage(error);
  if (message === undefined) return;
  throw new LockstepError(
    `Memory ran out while ${JSON.stringify(path)} was read (${message})` +
      memoryCure(readMemoryState().limits),
    { cause: error },
  );
}

function augmentation(seed: number, epoch: number, index: number) {
  return randomStream(seed, "augment", epoch, index);
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

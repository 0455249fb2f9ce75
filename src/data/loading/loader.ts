/**
 * Loading of batches of images by a plan of samples: reading, decoding and transforming some batches ahead, while
 * the training step runs.
 *
 * @module
 */
import { anySignal } from "../../base/async.ts";
import { LOCKSTEP_VERSION } from "../../base/versions.ts";
import { nativeRuntime } from "../../engine/native_runtime.ts";
import { memoryCure, outOfMemoryMessage, readMemoryState } from "../../engine/memory_limits.ts";
import { LockstepError } from "../../base/errors.ts";
import { randomStream } from "../../base/random.ts";
import { DataError } from "../codecs/data_error.ts";
import type { RgbImage } from "../codecs/rgb_image.ts";
import type { Sample, SampleList, SampleSource } from "../datasets/image_set.ts";
import type { Images } from "../transforms/byte_images.ts";
import { type BatchMix, drawMix, mixableRows, type MixSpec } from "../transforms/mix.ts";
import type { TransformPipeline } from "../transforms/transforms.ts";
import { type DiskFolder, DiskImages, type DiskImagesRecipe } from "./disk_images.ts";
import { type ImageCache, LocalCache } from "./image_cache.ts";
import type { LoaderThreads } from "./loader_threads.ts";
import { LocalRows } from "./local_rows.ts";
import { augmentation, RowMaker, withPartner } from "./row_maker.ts";
import type { EpochStep } from "./sampler.ts";
import { createProcessCache, type SharedCache } from "./shared_images.ts";
import {
  isUsable,
  type MadeRows,
  type RowFactory,
  type RowOutcome,
  type RowsOptions,
  type StepOrder,
} from "./step_rows.ts";
import { ThreadedRows } from "./threaded_rows.ts";

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
  /** The folder that keeps images on the disk, where the samples are files. */
  disk?: DiskFolder | undefined;
  /**
   * Threads that make the rows, where they can make this source's images; else, and without them, the calling thread
   * does. The batches are the same. They must live as long as the loader is used.
   */
  threads?: LoaderThreads | undefined;
  /** Images that the calling thread has read and decoded at a time. */
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
  /**
   * [n, height, width, 3], as the pipeline's `Normalize` says, else 0–1: floats, or bytes that come to these floats
   * once the device has done the last transforms.
   */
  readonly images: Images;
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
  readonly #maker: RowMaker;
  /** The cache that the threads share. */
  readonly #shared: SharedCache | undefined;
  readonly #disk: DiskImagesRecipe | undefined;
  /** Number of this loader's row maker in the threads, once they have it. */
  #threadMaker: number | undefined;

  constructor(options: LoaderOptions) {
    if (options.known && (options.mix ?? []).length > 0) {
      throw new RangeError(
        "A loader can't mix images and leave known ones unread: a row needs both images",
      );
    }
    this.#options = options;
    const { source, pipeline, samples, threads } = options;
    const bytes = options.cacheBytes ?? (source.cheap ? 0 : DEFAULT_CACHE_BYTES);
    const isThreaded = threads !== undefined && source.recipe !== undefined;
    const own = isThreaded && bytes > 0 && !options.cache
      ? createProcessCache(bytes, samples.length)
      : undefined;
    const cache = options.cache ?? own ?? new LocalCache(isThreaded ? 0 : bytes);
    this.#shared = "address" in cache ? cache as SharedCache : undefined;
    this.#disk = options.disk && diskRecipe(options.disk, source, pipeline);
    const disk = this.#disk && new DiskImages(this.#disk);
    this.#maker = new RowMaker({ source, pipeline, cache, disk });
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
    const signals = anySignal(signal, stop.signal);
    const rows = this.#rowFactory({ epoch, seed, signal: signals, reuse });
    const ahead: Promise<Made>[] = [];
    const steps = plan[Symbol.iterator]();
    const startOne = () => {
      const { value: step, done } = steps.next();
      if (done) return;
      const made = this.#make(step, rows, seed, epoch);
      made.catch(() => {}); // whoever takes it from the queue sees the error
      ahead.push(made);
    };
    try {
      signal?.throwIfAborted();
      for (let i = 0; i < this.#options.prefetch; i++) startOne();
      for (let first = ahead[0]; first; first = ahead[0]) {
        const { batch, memory } = await first;
        ahead.shift();
        startOne();
        yield batch;
        if (reuse) rows.recycle(memory);
        signal?.throwIfAborted();
      }
    } finally {
      stop.abort();
      await Promise.allSettled(ahead);
      rows.close();
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
    const prepared = await this.#maker.read(this.#sampleAt(index), random, epoch);
    return this.#maker.augmented(prepared, random);
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

  /** The maker of an iteration's rows. */
  #rowFactory(options: RowsOptions): RowFactory {
    const { source: { recipe, onMaking }, threads, known, pipeline } = this.#options;
    const sampleAt = (index: number) => this.#sampleAt(index);
    if (!threads || !recipe) {
      const concurrency = this.#concurrency;
      return new LocalRows({ maker: this.#maker, sampleAt, known, concurrency }, options);
    }
    const maker = this.#threadMaker ??= threads.addMaker(
      {
        source: recipe,
        transforms: pipeline.specs,
        cache: this.#shared?.address,
        disk: this.#disk,
      },
      onMaking,
    );
    const { rowBytes } = this.#maker;
    return new ThreadedRows({ threads, maker, rowBytes, sampleAt, known }, options);
  }

  async #make(plan: EpochStep, rows: RowFactory, seed: number, epoch: number): Promise<Made> {
    const { pipeline, mix: mixes = [] } = this.#options;
    const { step, indices, globalRows, partnerIndex } = plan;
    const mix = drawMix(mixes, pipeline.size, randomStream(seed, "mix", epoch, step));
    // Another rank's last row is the partner of this one's first: it stands behind this rank's own rows.
    const fetchesPartner = mix && indices.length > 0 && indices.length < globalRows;
    const wanted = fetchesPartner ? [...indices, partnerIndex] : [...indices];
    const order = { step, wanted, planned: indices.length, mix };
    const made = await rows.make(order);
    for (const [row, outcome] of made.outcomes.entries()) {
      if (isUsable(outcome)) continue;
      const { error } = outcome as Failed;
      requireMemory(this.#sampleAt(wanted[row]!), error);
      if (!this.#maySkip(error)) throw this.#withCure(error);
    }
    return { batch: this.#collate(plan, made, order), memory: made.rows };
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

  /** The labels of the mix: a row whose partner has no image is left as it is. */
  #mixed({ indices, partnerIndex }: EpochStep, made: MadeRows, { mix, planned }: StepOrder) {
    if (!mix) return undefined;
    const mixed = mixableRows(withPartner(made.outcomes.map(isUsable), planned));
    const partnerLabels = Int32Array.from(indices, (own, row) => {
      const partner = row === 0 ? partnerIndex : indices[row - 1]!;
      return this.#sampleAt(mixed[row] ? partner : own).label;
    });
    return { partnerLabels, share: mix.share };
  }

  /** A batch of the rows that have an image or are unread. */
  #collate(plan: EpochStep, made: MadeRows, order: StepOrder): Batch {
    const [height, width] = this.#options.pipeline.size;
    const { step, indices: planned } = plan;
    const mix = this.#mixed(plan, made, order);
    const skipped: SkippedSample[] = [];
    const kept: number[] = [];
    const unread = new Set<number>();
    planned.forEach((index, row) => {
      const outcome: RowOutcome = made.outcomes[row]!;
      if (typeof outcome !== "string") {
        const { reason } = outcome.error as DataError;
        skipped.push({ index, path: this.#sampleAt(index).path, reason });
        return;
      }
      if (outcome === "unread") unread.add(kept.length);
      kept.push(row);
    });
    return {
      step,
      images: this.#maker.images(made, order),
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
}

/** A batch, and the memory of its rows. */
interface Made {
  readonly batch: Batch;
  readonly memory: Uint8Array;
}

/** A row that has no image. */
type Failed = Exclude<RowOutcome, string>;

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

/** The recipe of images that are kept on the disk; nothing where they are no files. The engine must be open. */
function diskRecipe(
  folder: DiskFolder,
  { recipe }: SampleSource,
  { fixedSpecs }: TransformPipeline,
): DiskImagesRecipe | undefined {
  if (recipe?.kind !== "files") return undefined;
  const { root, maxPixels } = recipe;
  const decoder = `Lockstep ${LOCKSTEP_VERSION}, TensorFlow ${nativeRuntime().version}`;
  return { ...folder, root, maxPixels, decoder, fixed: JSON.stringify(fixedSpecs) };
}

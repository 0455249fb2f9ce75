/**
 * The facts on which all processes of a run must agree, as the coordinator sends them to the workers.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { z } from "../deps/zod.ts";
import { type Config, decidedConfigSchema } from "../config/schema.ts";
import { Loader } from "../data/loading/loader.ts";
import { LoaderThreads } from "../data/loading/loader_threads.ts";
import { type DiskFolder, diskFolderSchema } from "../data/loading/disk_images.ts";
import type { SharedImages } from "../data/loading/shared_images.ts";
import type { ImageSet } from "../data/datasets/image_set.ts";
import { type ModuleHooks, scanModule } from "../data/datasets/scan_module.ts";
import { scanImages } from "../data/datasets/scan_images.ts";
import { openTable, type TablePlace, tablePlaceSchema } from "../data/datasets/shared_table.ts";
import { tableImages } from "../data/datasets/table_images.ts";
import type { Json } from "../protocol/large_json.ts";
import { workerThreads } from "../engine/threads.ts";
import { TransformPipeline } from "../data/transforms/transforms.ts";
import type { FeatureCaches } from "./feature_cache.ts";

const jobSchema = z.strictObject({
  config: decidedConfigSchema,
  /** Folder of the images, or URL of the module that makes them. */
  root: z.string(),
  /** Fingerprint of the images as the coordinator found them. */
  fingerprint: z.string(),
  /** The images of `root` as the coordinator found them; without it, each process finds them itself. */
  samples: tablePlaceSchema.optional(),
  /** The folder that keeps decoded images. */
  cacheFolder: diskFolderSchema.optional(),
  numClasses: z.int().positive(),
  /** SHA-256 of each module of the user's own, by the config key that names it. */
  modules: z.record(z.string(), z.string()).optional(),
  /** Weight of each class in the loss; 1 unless given. */
  classWeights: z.array(z.number().nonnegative()).optional(),
  /** Let TensorFlow write its notices. */
  verbose: z.boolean(),
  /** The workers measure instead of training. */
  benchmark: z.json().optional(),
});

/** A run's common knowledge. */
export type Job = z.output<typeof jobSchema>;

/** Returns a job in the form in which it is sent to the workers. */
export function jobJson(job: Job): Json {
  return job as unknown as Json;
}

/**
 * Reads what {@linkcode Job} the coordinator sent.
 *
 * @throws {z.ZodError} when it is something else
 */
export function parseJob(json: unknown): Job {
  return jobSchema.parse(json);
}

/** The images that a run needs. */
export interface ImagesToFind {
  readonly root: string;
  readonly config: Pick<Config, "data" | "seed">;
  /** The images as another process has found them. */
  readonly samples?: TablePlace | undefined;
}

/**
 * Finds a run's images: in the list that the coordinator shares, else on the disk.
 *
 * @param hooks Look on while a data module makes samples
 * @param scan Looks on the disk
 */
export async function findImages(
  { root, config, samples }: ImagesToFind,
  hooks: ModuleHooks = {},
  scan: (hooks: ModuleHooks) => Promise<ImageSet> = () => scanData(root, config, hooks),
): Promise<ImageSet> {
  if (samples) {
    try {
      return tableImages(openTable(samples), { root, maxPixels: config.data.maxPixels });
    } catch (error) {
      if (!(error instanceof LockstepError)) throw error;
      // The coordinator may be in another container, or on another machine.
      console.error(`The list of images can't be shared (${error.message}): looking in ${root}`);
    }
  }
  return await scan(hooks);
}

/**
 * Finds a run's images on the disk.
 *
 * @param hooks Look on while a data module makes samples
 */
export function scanData(
  root: string,
  { data, seed }: ImagesToFind["config"],
  hooks: ModuleHooks = {},
): Promise<ImageSet> {
  const { module, format, trainFolder, valFolder, valFraction, splitSeed, maxPixels } = data;
  if (module) return scanModule(module, { seed, maxPixels, ...hooks });
  const split = { valFraction, splitSeed };
  return scanImages(root, { format, trainFolder, valFolder, maxPixels, ...split });
}

/**
 * Starts the loader threads of one of a run's workers, while the engine opens and the images are found.
 *
 * @returns The threads; whoever has them disposes of them
 */
export function startLoaderThreads(
  { data, workers }: Pick<Config, "data" | "workers">,
): LoaderThreads {
  const threads = new LoaderThreads(workerThreads(data.loaderThreads, workers));
  threads.start();
  return threads;
}

/** The parts of a run's loaders that not every process has. */
export interface LoaderParts {
  /** Threads that make the rows, rather than the calling one. */
  readonly threads?: LoaderThreads | undefined;
  /** The memory that workers share for decoded images. */
  readonly shared?: SharedImages | undefined;
  /** The folder that keeps images on the disk. */
  readonly disk?: DiskFolder | undefined;
  /** Samples whose images aren't needed any more. */
  readonly known?: Pick<FeatureCaches, "train" | "val"> | undefined;
}

/** The loaders of a run's two sets of images. */
export function makeLoaders(
  dataset: ImageSet,
  { data, workers }: Pick<Config, "data" | "workers">,
  { threads, shared, disk, known }: LoaderParts = {},
): { train: Loader; val: Loader } {
  const { source } = dataset;
  const { onError, prefetch } = data;
  // Where memory can't be shared, each loader of each worker keeps its share.
  const own = data.cache && !source.cheap ? { cacheBytes: data.cache / workers / 2 } : {};
  const common = { source, onError, prefetch, threads, disk, ...own };
  return {
    train: new Loader({
      ...common,
      samples: dataset.train,
      pipeline: new TransformPipeline(data.train),
      mix: data.mix,
      known: known?.train,
      cache: shared?.listFrom(0),
    }),
    val: new Loader({
      ...common,
      samples: dataset.val,
      cache: shared?.listFrom(dataset.train.length),
      pipeline: new TransformPipeline(data.val),
      known: known?.val,
    }),
  };
}

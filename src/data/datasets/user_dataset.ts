/**
 * The export of a data module: `createDataset`, and the data set that `createDataset` returns.
 *
 * @module
 */
import { UsageError } from "../../base/errors.ts";
import { exportedFunction, thrownMessage, type UserModule } from "../../base/user_module.ts";
import type { PixelImage } from "./user_image.ts";

/** One of the two parts of a data set. */
export type Split = "train" | "val";

/** An image with its class. */
export interface DatasetSample {
  /** Pixels, or the bytes of an image file (JPEG, PNG, WebP, GIF, BMP). */
  readonly image: PixelImage | Uint8Array;
  /** The class, by name or by position in `classes`; may be left out where the samples have `labels`. */
  readonly label?: number | string;
}

/** The facts that are known where a sample is made. */
export interface SampleContext {
  /** The part that the sample belongs to. */
  readonly split: Split;
  /** Seed of the run. */
  readonly seed: number;
}

/** Samples that can be had in any order: they are shuffled, shared among the workers and kept for later epochs. */
export interface IndexedSamples {
  /** The number of samples. */
  readonly length: number;
  /** Makes one of them: always the same for an index. Runs in the workers, several at the same time. */
  sample(index: number, context: SampleContext): DatasetSample | Promise<DatasetSample>;
  /** The class of each sample by position in `classes`, where that is known without making it. */
  readonly labels?: ArrayLike<number>;
}

/** The facts that are known where a stream begins. */
export interface StreamContext extends SampleContext {
  /** Counted from 1; 0 for validation. */
  readonly epoch: number;
}

/**
 * Samples that come in an order of their own. Each worker goes through all of them and takes those at its places,
 * so a stream must give the same in every process: a function of its context and of nothing else.
 */
export interface StreamedSamples {
  /** Number of samples in an epoch; a stream that gives more is left there. */
  readonly length: number;
  /** Begins an epoch anew. */
  stream(context: StreamContext): AsyncIterable<DatasetSample> | Iterable<DatasetSample>;
}

/** A data set, as a data module's `createDataset` gives it. */
export interface Dataset {
  /** Names of the classes, two or more, in the order of the labels. */
  readonly classes: readonly string[];
  /** The training set. */
  readonly train: IndexedSamples | StreamedSamples;
  /** The validation set. */
  readonly val: IndexedSamples | StreamedSamples;
  /** Changes when the samples do, such as a hash of their files: a run doesn't go on with other samples. */
  readonly fingerprint?: string;
  /** Making a sample costs no more than remembering it: then none are kept for later epochs. */
  readonly cheap?: boolean;
  /**
   * Several threads of a worker may make samples at the same time: each imports the module and calls `createDataset`.
   * Takes indexed samples whose `labels` are given, and images of bytes.
   */
  readonly inThreads?: boolean;
}

/** Settings of a data set. */
export interface DatasetOptions {
  /** Seed of the run. */
  readonly seed: number;
}

/** The function that a data module exports as `createDataset`. Runs in every process. */
export type CreateDataset = (options: DatasetOptions) => Dataset | Promise<Dataset>;

/** Tells whether samples come in an order of their own. */
export function isStream(samples: IndexedSamples | StreamedSamples): samples is StreamedSamples {
  return "stream" in samples;
}

/**
 * Makes a module's data set.
 *
 * @throws {UsageError} when there is none, or it isn't one
 */
export async function createDataset(module: UserModule, options: DatasetOptions): Promise<Dataset> {
  const create = exportedFunction<CreateDataset>(module, "createDataset");
  let dataset: Dataset;
  try {
    dataset = await create(options);
  } catch (error) {
    const message = thrownMessage(module, "createDataset", error);
    throw new UsageError(`${module.key}: ${message}`, { cause: error });
  }
  const problem = problemOf(dataset);
  if (problem) throw new UsageError(`${module.key}: createDataset of ${module.url} ${problem}`);
  return dataset;
}

/** Returns the fault of the data set that a user's code returned, as the end of a sentence. */
function problemOf(dataset: Partial<Dataset> | undefined): string | undefined {
  const { classes } = dataset ?? {};
  if (!Array.isArray(classes) || classes.some((name) => typeof name !== "string" || !name)) {
    return "gives no classes: return { classes, train, val } with a list of names as classes";
  }
  if (classes.length < 2 || new Set(classes).size < classes.length) {
    return `gives the classes ${JSON.stringify(classes)}: two or more different ones are needed`;
  }
  for (const split of ["train", "val"] as const) {
    const problem = samplesProblem(dataset![split], classes.length);
    if (problem) return `gives a ${split} that ${problem}`;
  }
}

function samplesProblem(
  samples: Partial<IndexedSamples & StreamedSamples> | undefined,
  classes: number,
): string | undefined {
  const { length, sample, stream, labels } = samples ?? {};
  if (typeof sample !== "function" && typeof stream !== "function") {
    return "is neither { length, sample(index) } nor { length, stream() }";
  }
  if (!Number.isSafeInteger(length) || length! < 1) {
    return `has the length ${length}: give the number of its samples, one or more`;
  }
  if (!labels) return undefined;
  if (labels.length !== length) return `has ${labels.length} labels for ${length} samples`;
  const wrong = Array.from(labels).findIndex((label) => !isLabel(label, classes));
  if (wrong >= 0) {
    return `has the label ${labels[wrong]} at ${wrong}, but labels are 0 to ${classes - 1}`;
  }
}

/** Tells whether a value is the position of a class. */
export function isLabel(label: unknown, classes: number): label is number {
  return Number.isInteger(label) && (label as number) >= 0 && (label as number) < classes;
}

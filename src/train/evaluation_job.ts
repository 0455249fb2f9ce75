/**
 * The job of an evaluation's workers: the images, and what scores them. Nobody trains, so there is no optimizer, no
 * schedule and no exchange in it.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import type { NamingModules } from "../config/consent.ts";
import { decidedConfigSchema } from "../config/schema.ts";
import { chooseSplit, scanClassFolders } from "../data/datasets/class_folders.ts";
import type { ImageSet } from "../data/datasets/image_set.ts";
import { tablePlaceSchema } from "../data/datasets/shared_table.ts";
import type { ModuleHooks } from "../data/datasets/scan_module.ts";
import { lossShape } from "../optim/loss_config.ts";
import type { Json } from "../protocol/large_json.ts";
import { findImages } from "./job.ts";

const imagesSchema = z.strictObject({
  /** The training or the validation set. */
  split: z.enum(["train", "val"]),
  /** Names of the classes in the order of the model's outputs: labels are given by name. */
  classes: z.array(z.string()),
  /** A folder of classes below the root, in the place of the run's layout; the root itself when empty. */
  folder: z.string().optional(),
});

/** The images to evaluate. */
export type EvaluationImages = z.output<typeof imagesSchema>;

/** The keys of a config that say how images are read and scored. */
export const scoringConfigSchema = decidedConfigSchema.pick({
  seed: true,
  workers: true,
  model: true,
  data: true,
  validate: true,
  engine: true,
});

/** The keys of a config that say how images are read and scored. */
export type ScoringConfig = z.output<typeof scoringConfigSchema>;

const { loss, lossModule, labelSmoothing } = lossShape;
const lossSchema = z.strictObject({ loss, lossModule, labelSmoothing });

const evaluationJobSchema = z.strictObject({
  config: scoringConfigSchema,
  /** The loss that is measured. */
  loss: lossSchema,
  /** Samples per step over all ranks. */
  batchSize: z.int().positive(),
  evaluation: imagesSchema,
  /** Folder of the images, or URL of the module that makes them. */
  root: z.string(),
  /** Fingerprint of the images as the coordinator found them. */
  fingerprint: z.string(),
  /** The images of `root` as the coordinator found them; without it, each process finds them itself. */
  samples: tablePlaceSchema.optional(),
  numClasses: z.int().positive(),
  /** SHA-256 of each module of the user's own, by the config key that names it. */
  modules: z.record(z.string(), z.string()).optional(),
  /** Weight of each class in the loss; 1 unless given. */
  classWeights: z.array(z.number().nonnegative()).optional(),
  /** Let TensorFlow write its notices. */
  verbose: z.boolean(),
});

/** The common knowledge of an evaluation's processes. */
export type EvaluationJob = z.output<typeof evaluationJobSchema>;

/**
 * Reads the {@linkcode EvaluationJob} that the coordinator sent.
 *
 * @returns Nothing for a job of another kind
 * @throws {z.ZodError} when it is damaged
 */
export function parseEvaluationJob(json: Json): EvaluationJob | undefined {
  const isEvaluation = typeof json === "object" && json !== null && "evaluation" in json;
  return isEvaluation ? evaluationJobSchema.parse(json) : undefined;
}

/** Returns an evaluation's job in the form in which it is sent to the workers. */
export function evaluationJobJson(job: EvaluationJob): Json {
  return job as unknown as Json;
}

/** Returns the keys of an evaluation's config that name modules. */
export function namedModules(
  { config, loss }: Pick<EvaluationJob, "config" | "loss">,
): NamingModules {
  return { ...config, train: loss };
}

/**
 * Finds an evaluation's images: they stand in the place of the validation images.
 *
 * @param hooks Look on while a data module makes samples
 */
export async function scanEvaluation(
  job: Pick<EvaluationJob, "root" | "config" | "evaluation" | "samples">,
  hooks: ModuleHooks = {},
): Promise<ImageSet> {
  const { root, config, evaluation: { folder, ...wanted } } = job;
  return folder === undefined
    ? chooseSplit(await findImages(job, hooks), wanted)
    : await findImages(
      job,
      hooks,
      () => scanClassFolders(root, folder, wanted.classes, config.data.maxPixels),
    );
}

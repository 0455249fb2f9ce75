/**
 * The config keys of the data.
 *
 * @module
 */
import { z } from "zod";
import { mixesSchema } from "./mix.ts";
import { transformsSchema } from "./transform_specs.ts";

/** Data sets that `data.dataset` accepts: fetched by Lockstep itself. */
export const DATASET_NAMES = ["food-groups"] as const;

/** Name of a data set that Lockstep fetches. */
export type DatasetName = (typeof DATASET_NAMES)[number];

/** Pixels above which a picture is refused, unless configured. */
export const DEFAULT_MAX_PIXELS = 100_000_000;

/** `data`: which pictures, and how they become batches. */
export const dataSchema = z.strictObject({
  /** A data set that Lockstep fetches; `null` or nothing when `root` names a folder. */
  dataset: z.enum(DATASET_NAMES).nullish(),
  /** A folder with `train/` and `val/`, or, with `valFraction`, one folder of classes. */
  root: z.string().min(1, "name a folder").nullish(),
  /** Share of a single folder's pictures that validate; a hash of each path decides which. */
  valFraction: z.number().gt(0, "give a share above 0, such as 0.2")
    .lt(1, "give a share below 1, such as 0.2").nullish(),
  /** Transforms of training pictures, in order. */
  train: transformsSchema,
  /** Transforms of validation pictures, in order. */
  val: transformsSchema,
  /** How training pictures are mixed with each other: in each step one of these; none unless given. */
  mix: mixesSchema.default([]),
  /** What a picture that can't be read does: end the run, or be counted and left out. */
  onError: z.enum(["fail", "skip"]).default("fail"),
  /** Batches that are decoded ahead of the training step. */
  prefetch: z.int().positive().max(1000).default(4),
  /** Pixels above which a picture is refused before it is decoded. */
  maxPixels: z.int().positive().default(DEFAULT_MAX_PIXELS),
}).superRefine(({ dataset, root, valFraction }, context) => {
  const report = (key: string, message: string) =>
    context.addIssue({ code: "custom", path: [key], message });
  if (!dataset && !root) {
    report(
      "root",
      `name a folder of pictures, or set data.dataset to ${DATASET_NAMES.join(" or ")}`,
    );
  }
  if (dataset && root) {
    report(
      "root",
      `data.dataset is set too (${dataset}): keep one of them, such as with --set data.dataset=null`,
    );
  }
  if (dataset && valFraction) {
    report(
      "valFraction",
      `the data set ${dataset} has its own validation pictures: remove this key`,
    );
  }
});

/** The data section of a validated config. */
export type DataConfig = z.output<typeof dataSchema>;

/**
 * The config keys of the data.
 *
 * @module
 */
import { sizeSchema } from "../base/size_schema.ts";
import { z } from "../deps/zod.ts";
import { pathSchema } from "../base/file_path.ts";
import { moduleSchema } from "../base/user_module.ts";
import {
  type DataFormat,
  DATASET_NAMES,
  type DatasetName,
  DATASETS,
} from "../provision/dataset_catalogue.ts";
import { DEFAULT_MAX_PIXELS } from "./codecs/rgb_image.ts";
import { FILE_HASHES } from "./file_hashes.ts";
import { HOST_DATA, HOST_DATA_CHECKS } from "./host_data.ts";
import { mixesSchema } from "./transforms/mix.ts";
import { transformsSchema } from "./transforms/transform_specs.ts";

const MAX_LOADER_THREADS = 256;

const FORMATS = ["imageFolder", "cifar10"] as const satisfies readonly DataFormat[];

const folderName = z.string().regex(
  /^[^./\\][^/\\]*$/,
  "give the name of a folder in data.root, without slashes and not beginning with a dot",
);

/** `data`: which images, and how they become batches. */
export const dataSchema = z.strictObject({
  dataset: z.enum(DATASET_NAMES).nullish().describe(
    "A data set that Lockstep fetches, where no folder is named as `root`.",
  ),
  root: pathSchema("name a folder").nullish().describe(
    "A folder with `train/` and `val/`, or, with `valFraction`, one folder of classes, or " +
      "CIFAR-10's binary files; or an archive of one of these (`.tar.gz`, `.tgz`, `.tar`, " +
      "`.zip`).",
  ),
  module: moduleSchema.nullish().describe(
    "A module of your own that exports `createDataset`, instead of images on the disk " +
      "(docs/library.md).",
  ),
  format: z.enum(FORMATS).optional().describe(
    "The layout of the images on the disk: `imageFolder` unless the data set has another.",
  ),
  trainFolder: folderName.optional().describe(
    "Folder of the training images below the root: `train` unless the data set has another.",
  ),
  valFolder: folderName.optional().describe(
    "Folder of the validation images below the root: `val` unless the data set has another.",
  ),
  valFraction: z.number().gt(0, "give a share above 0, such as 0.2")
    .lt(1, "give a share below 1, such as 0.2").nullish().describe(
      "Share of a single folder's images that validate; a hash of each path decides which.",
    ),
  splitSeed: z.int().nonnegative().default(0).describe(
    "Another number gives another split by `valFraction`; the run's `seed` doesn't change it.",
  ),
  train: transformsSchema.describe("Transforms of training images, in order."),
  val: transformsSchema.describe("Transforms of validation images, in order."),
  mix: mixesSchema.default([]).describe(
    "The mixes of training images with each other: in each step one of these; none unless given.",
  ),
  onError: z.enum(["fail", "skip"]).default("fail").describe(
    "The effect of an image that can't be read: end the run, or be counted and left out.",
  ),
  prefetch: z.int().positive().max(1000).default(4).describe(
    "Batches that are decoded ahead of the training step.",
  ),
  loaderThreads: z.int().positive().max(MAX_LOADER_THREADS).optional().describe(
    "Threads of each worker that read, decode and transform images; unless set, the cores divided " +
      "by the workers.",
  ),
  cache: sizeSchema.nullish().describe(
    "Memory that all workers share for decoded images; `null`: each worker keeps some by itself.",
  ),
  cacheDir: pathSchema("name a folder").nullish().describe(
    "A folder that keeps decoded images for later epochs and runs, on which the transforms before " +
      "the first random one have been run; `null` keeps none on the disk.",
  ),
  cacheDirBytes: sizeSchema.default(50e9).describe(
    "The most that `cacheDir` may take; when it is full, further images aren't kept in it.",
  ),
  fileHashes: z.enum(FILE_HASHES).default("auto").describe(
    "Image files that a run's record keeps a hash of, by which a resumed run notices other " +
      "contents of the same size: `auto` are all of a set of at most 50,000 files and 1 GiB, " +
      "`all` takes as long as reading them, `none` compares paths, classes and sizes.",
  ),
  hosts: z.enum(HOST_DATA).default("copy").describe(
    "The files of further hosts: `copy` is their own copy, or a folder that they share; `fetch`: " +
      "each host fetches all files from the coordinator before it starts, and keeps them.",
  ),
  verify: z.enum(HOST_DATA_CHECKS).default("sizes").describe(
    "The comparison of a further host's files with the coordinator's: paths and `sizes`, or " +
      "also `hashes`, which takes as long as reading all files on both hosts.",
  ),
  hostCacheBytes: sizeSchema.default(100e9).describe(
    "The most that the fetched files of all data sets may take on a host; those used longest " +
      "ago are removed.",
  ),
  maxPixels: z.int().positive().default(DEFAULT_MAX_PIXELS).describe(
    "Pixels above which an image is refused before it is decoded.",
  ),
}).superRefine((data, context) => {
  for (const [key, message] of problemsOf(data)) {
    context.addIssue({ code: "custom", path: [key], message });
  }
}).transform((data) => ({ ...data, ...layoutOf(data) }));

/** Keys that the data set, where one is named, decides. */
interface Layout {
  format: DataFormat;
  trainFolder: string;
  valFolder: string;
}

/** The keys that {@linkcode problemsOf} looks at. */
interface DataKeys {
  format?: DataFormat | undefined;
  trainFolder?: string | undefined;
  valFolder?: string | undefined;
  dataset?: DatasetName | null | undefined;
  root?: string | null | undefined;
  module?: string | null | undefined;
  valFraction?: number | null | undefined;
}

const ORDINARY: Layout = { format: "imageFolder", trainFolder: "train", valFolder: "val" };

/** The layout of the data set, with what the config says over it. */
function layoutOf(data: DataKeys): Layout {
  const own = data.dataset ? DATASETS[data.dataset] : ORDINARY;
  return {
    format: data.format ?? own.format,
    trainFolder: data.trainFolder ?? own.trainFolder,
    valFolder: data.valFolder ?? own.valFolder,
  };
}

/** Keys of the data that contradict each other, each with the cure. */
function* problemsOf(data: DataKeys): Generator<[key: string, message: string]> {
  const { dataset, root, module, valFraction } = data;
  if (module) {
    const others = [
      "dataset",
      "root",
      "format",
      "trainFolder",
      "valFolder",
      "valFraction",
    ] as const;
    for (const key of others) {
      if (!data[key] || data[key] === ORDINARY[key as keyof Layout]) continue;
      yield [
        key,
        `data.module gives the images: remove one of the two keys, or give --set data.${key}=null`,
      ];
    }
    return;
  }
  if (!dataset && (root ?? null) === null) {
    yield [
      "root",
      `name a folder of images, or set data.dataset to ${
        DATASET_NAMES.join(" or ")
      }, or data.module to a ` +
      "module of your own",
    ];
  }
  if (dataset && root) {
    yield [
      "root",
      `data.dataset is set too (${dataset}): remove one of the two keys`,
    ];
  }
  if (dataset && valFraction) {
    yield [
      "valFraction",
      `the data set ${dataset} has its own validation images: remove this key`,
    ];
  }
  if (dataset) {
    for (const key of ["format", "trainFolder", "valFolder"] as const) {
      const own = DATASETS[dataset][key];
      if (data[key] === undefined || data[key] === own) continue;
      yield [key, `the data set ${dataset} has its own (${own}): remove this key`];
    }
    return;
  }
  const { format, trainFolder, valFolder } = layoutOf(data);
  if (format === "cifar10") {
    if (valFraction) {
      yield [
        "valFraction",
        "CIFAR-10 has its own validation images (test_batch.bin): remove this key",
      ];
    }
    for (const key of ["trainFolder", "valFolder"] as const) {
      if ((data[key] ?? ORDINARY[key]) === ORDINARY[key]) continue; // as in a config with all defaults
      yield [key, "CIFAR-10 has files instead of folders: remove this key"];
    }
  } else if (trainFolder === valFolder) {
    yield [
      "valFolder",
      "it is data.trainFolder too: validate on other images than those of training",
    ];
  }
}

/** The data section of a validated config. */
export type DataConfig = z.output<typeof dataSchema>;

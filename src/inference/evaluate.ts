/**
 * Evaluation of a model on a folder of images, in this process.
 *
 * @module
 */
import { listed } from "../base/listing.ts";
import { resolve } from "node:path";
import { UsageError } from "../base/errors.ts";
import { interruptedBy } from "../base/interruption.ts";
import { ONLY_RANK } from "../base/rank_info.ts";
import type { Config } from "../config/schema.ts";
import { coresOfHost } from "../engine/threads.ts";
import type { LayersModel } from "../engine/tf.ts";
import { checkFiles } from "../data/datasets/check_files.ts";
import { EpochPlanner } from "../data/loading/epoch_planner.ts";
import { Loader } from "../data/loading/loader.ts";
import { LoaderThreads } from "../data/loading/loader_threads.ts";
import { chooseSplit, missingClasses, scanClassFolders } from "../data/datasets/class_folders.ts";
import type { ImageSet } from "../data/datasets/image_set.ts";
import { scanImages } from "../data/datasets/scan_images.ts";
import { type TransformInput, transformsSchema } from "../data/transforms/transform_specs.ts";
import { TransformPipeline } from "../data/transforms/transforms.ts";
import { type ClassAccuracy, confusionOf, perClassAccuracy } from "../metrics/confusion.ts";
import { type ClassificationReport, classificationReport } from "../metrics/report.ts";
import { classesOf } from "../models/heads.ts";
import type { DataFormat } from "../provision/dataset_catalogue.ts";
import { requireFiniteOutputs, requireUsable } from "../metrics/check_scores.ts";
import { descriptionOf, type ModelDescription } from "./checkpoint_config.ts";
import { imagesToEvaluate } from "./evaluation_images.ts";
import { nonFiniteLayerOf, scoreOnce } from "../train/scores.ts";
import { validateShard } from "../train/validate.ts";

/** Options of an evaluation. */
export interface EvaluateOptions {
  /** Layout of the images on the disk (default `imageFolder`; for the run's own data, the run's format). */
  readonly format?: DataFormat;
  /** Part of the folder (default `val`). */
  readonly split?: "train" | "val";
  /** Name of the folder of training images (default `train`). */
  readonly trainFolder?: string;
  /** Name of the folder of validation images (default `val`). */
  readonly valFolder?: string;
  /** Share of a single folder's images that are the `val` part. */
  readonly valFraction?: number;
  /** Seed of the split, as in the run's `data.splitSeed` (default 0). */
  readonly splitSeed?: number;
  /** Names of the classes, in the order of the model's outputs (default: the checkpoint's, else the folder's). */
  readonly classes?: readonly string[];
  /** Transforms as in a config's `data.val` (default: the checkpoint's, else torchvision's for ImageNet, 224 pixels). */
  readonly transforms?: readonly TransformInput[];
  /** Images per pass (default 32). */
  readonly batchSize?: number;
  /** The reaction to an image that can't be read (default `fail`). */
  readonly onError?: "fail" | "skip";
  /** Largest image that is decoded, in pixels (default 100 million). */
  readonly maxPixels?: number;
  /** Ends the evaluation with an `InterruptedError`, whose cause is its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** The results of an evaluation. */
export interface Evaluation {
  /** Mean cross-entropy. */
  readonly loss: number;
  /** Share of the images whose class has the highest logit, 0 … 1. */
  readonly accuracy: number;
  /** Images that were scored: each of the part exactly once, but for those that were skipped. */
  readonly count: number;
  /** Accuracy and number of images of each class. */
  readonly perClass: readonly ClassAccuracy[];
  /**
   * Images by true class (row) and predicted class (column), up to 256 classes; of more, `report.confusions` has the
   * cells that are not 0.
   */
  readonly confusion?: readonly (readonly number[])[];
  /** Precision, recall and F1 of each class and their means, top-5 accuracy, calibration. */
  readonly report: ClassificationReport;
  /** Names of the classes that the set has no image of: they don't count in the means. */
  readonly missing: readonly string[];
  /** Images that couldn't be read. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
}

const IMAGENET: readonly TransformInput[] = [
  { Resize: 256 },
  { CenterCrop: 224 },
  { Normalize: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } },
];

/**
 * Evaluates a model on an image folder. The engine must be open.
 *
 * A model from {@linkcode loadCheckpoint} is evaluated as it was validated: with the transforms of its checkpoint, with
 * classes matched by name, and, where `root` is its run's own data, on that run's validation images. In another folder
 * of classes all images are taken; it may lack classes of the model, which are `missing` in the result, and may have
 * none that the model doesn't know. Options that are given come first.
 *
 * @example
 * ```ts
 * import { evaluate, loadCheckpoint, openEngine } from "@lockstep/lockstep";
 *
 * await openEngine();
 * const { model } = await loadCheckpoint("runs/latest/checkpoints/best");
 * const { accuracy, count, perClass } = await evaluate(model, "photos");
 * console.log(`${accuracy.toFixed(3)} of ${count} images`, perClass);
 * ```
 *
 * @param model float32 [n, h, w, 3] → logits [n, classes]
 * @param root Folder with `train/` and `val/`, or one folder of classes, or CIFAR-10's files. For a model without a
 * checkpoint, a single folder needs `valFraction`, and the classes' order is the alphabetical one
 * @throws {UsageError} when the folder can't be used, has files that can't (unless such are skipped), or other classes
 * than the model
 * @throws {InterruptedError} when `options.signal` fires
 * @throws {DataError} when an image can't be read, unless such are skipped
 * @throws {LockstepError} when no image of the set or of a class could be used, or an output is NaN or infinite
 */
export async function evaluate(
  model: LayersModel,
  root: string,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  using interruption = interruptedBy(options.signal);
  const { signal } = interruption;
  const known = descriptionOf(model);
  const { split = "val", transforms = known?.transforms ?? IMAGENET, batchSize = 32 } = options;
  const outputs = classesOf(model);
  const folder = await findImages(root, options, known);
  using source = folder.source;
  signal?.throwIfAborted();
  const onError = options.onError ?? known?.config?.data.onError ?? "fail";
  const { classes, val: samples } = folder;
  await checkFiles(folder, { onError, signal });
  if (outputs !== classes.length) {
    throw new UsageError(
      `The model has ${outputs} classes, but ${root} has ${classes.length} (${listed(classes)})`,
    );
  }
  await using threads = new LoaderThreads(coresOfHost());
  const loader = new Loader({
    source,
    samples,
    threads,
    pipeline: new TransformPipeline(transformsSchema.parse([...transforms])),
    onError,
    prefetch: 2,
    cacheBytes: 0,
  });
  const scores = await validateShard(
    {
      scorer: {
        evaluate: (batch) => Promise.resolve(scoreOnce(model, batch)),
        findNonFiniteLayer: (batch) => nonFiniteLayerOf(model, batch),
      },
      loader,
      planner: new EpochPlanner({ length: samples.length, globalBatch: batchSize }),
      place: ONLY_RANK,
    },
    undefined,
    signal,
  );
  const seen = { what: split === "val" ? "validation" : "training", samples, classes };
  requireUsable({ ...seen, skipped: scores.skipped });
  const rows = new Map(scores.indices.map((index, row) => [index, row]));
  requireFiniteOutputs({ ...seen, layer: scores.nonFiniteLayer }, (index) => {
    const row = rows.get(index);
    return row === undefined
      ? undefined
      : { loss: scores.losses[row], first: scores.ranked[row * scores.width] };
  }, "these weights can't be measured");
  const labels = scores.indices.map((index) => samples.at(index)!.label);
  const report = classificationReport({ ...scores, labels }, classes);
  const { accuracy, count, confusionMatrix: confusion } = report;
  return {
    loss: scores.losses.reduce((sum, loss) => sum + loss, 0) / scores.weight,
    accuracy,
    count,
    perClass: perClassAccuracy(confusionOf(report, classes.length)!, classes),
    ...(confusion ? { confusion } : {}),
    report,
    missing: folder.learnLabel ? [] : missingClasses(folder),
    skipped: scores.skipped.map(({ path, reason }) => ({ path, reason })),
  };
}

const TERMS = { data: "as root", split: "the option split" };

/** Options of a folder's layout: they precede the layout that is known from the model. */
const LAYOUT = ["format", "trainFolder", "valFolder", "valFraction", "splitSeed"] as const;

/** The images to evaluate, as those that validate; their labels are those of the model's classes. */
async function findImages(
  root: string,
  options: EvaluateOptions,
  known: ModelDescription | undefined,
): Promise<ImageSet> {
  const { split = "val" } = options;
  const data = known?.config?.data;
  const maxPixels = options.maxPixels ?? data?.maxPixels;
  const size = maxPixels === undefined ? {} : { maxPixels };
  const classes = options.classes ?? known?.classes;
  if (classes === undefined) {
    const set = await scanImages(root, { ...options, ...size });
    return { ...set, train: [], val: set[split] };
  }
  const isOwn = typeof data?.root === "string" && resolve(data.root) === resolve(root);
  const { trainFolder = "train", valFolder = "val", format = "imageFolder" } = {
    ...data,
    ...options,
  };
  if (isOwn || format !== "imageFolder" || LAYOUT.some((key) => options[key] !== undefined)) {
    const own = isOwn ? layoutOf(data) : {};
    return chooseSplit(await scanImages(root, { ...own, ...options, ...size }), {
      split,
      classes,
    });
  }
  const layout = { format, trainFolder, valFolder };
  const wanted = { data: root, classes, ...(options.split ? { split: options.split } : {}) };
  const { folder = "" } = await imagesToEvaluate(root, layout, wanted, TERMS);
  return await scanClassFolders(root, folder, classes, maxPixels);
}

function layoutOf({ format, trainFolder, valFolder, valFraction, splitSeed }: Layout): Layout {
  return { format, trainFolder, valFolder, valFraction, splitSeed };
}

type Layout = Pick<Config["data"], (typeof LAYOUT)[number]>;

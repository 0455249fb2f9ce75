/**
 * Evaluation of a model on a folder of pictures, in this process.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import type { LayersModel } from "../engine/tf.ts";
import { checkFiles } from "../data/check_files.ts";
import { Loader } from "../data/loader.ts";
import { scanPictures } from "../data/scan_pictures.ts";
import { type TransformInput, transformsSchema } from "../data/transform_specs.ts";
import { TransformPipeline } from "../data/transforms.ts";
import { type ClassAccuracy, confusionOf, perClassAccuracy } from "../metrics/confusion.ts";
import { type ClassificationReport, classificationReport } from "../metrics/report.ts";
import { classesOf } from "../models/heads.ts";
import type { DataFormat } from "../provision/dataset_catalogue.ts";
import { requireFiniteOutputs, requireUsable } from "./check_scores.ts";
import { scoreOnce } from "./scores.ts";
import { validateShard } from "./validate.ts";

/** What to evaluate on, and how. */
export interface EvaluateOptions {
  /** How the pictures lie on the disk (default `imageFolder`). */
  readonly format?: DataFormat;
  /** Part of the folder (default `val`). */
  readonly split?: "train" | "val";
  /** Name of the folder of training pictures (default `train`). */
  readonly trainFolder?: string;
  /** Name of the folder of validation pictures (default `val`). */
  readonly valFolder?: string;
  /** Share of a single folder's pictures that are the `val` part. */
  readonly valFraction?: number;
  /** As the run's `data.splitSeed` (default 0). */
  readonly splitSeed?: number;
  /** Transforms as in a config's `data.val` (default: torchvision's for ImageNet, 224 pixels). */
  readonly transforms?: readonly TransformInput[];
  /** Pictures per pass (default 32). */
  readonly batchSize?: number;
  /** What a picture that can't be read does (default `fail`). */
  readonly onError?: "fail" | "skip";
  /** Largest picture that is decoded, in pixels (default 100 million). */
  readonly maxPixels?: number;
}

/** What came out. */
export interface Evaluation {
  /** Mean cross-entropy. */
  readonly loss: number;
  /** Share of the pictures whose class has the highest logit, 0 … 1. */
  readonly accuracy: number;
  /** Pictures that were scored: each of the part exactly once, but for those that were skipped. */
  readonly count: number;
  /** Accuracy and number of pictures of each class. */
  readonly perClass: readonly ClassAccuracy[];
  /**
   * Images by true class (row) and predicted class (column), up to 256 classes; of more, `report.confusions` has the
   * cells that are not 0.
   */
  readonly confusion?: readonly (readonly number[])[];
  /** Precision, recall and F1 of each class and their means, top-5 accuracy, calibration. */
  readonly report: ClassificationReport;
  /** Pictures that couldn't be read. */
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
 * @param model float32 [n, h, w, 3] → logits [n, classes], with the classes in the folder's order, which is alphabetical
 * @param root Folder with `train/` and `val/`, or, with `valFraction`, one folder of classes, or CIFAR-10's files
 * @throws {UsageError} when the folder can't be used, has files that can't (unless such are skipped), or another number of classes than the model
 * @throws {DataError} when a picture can't be read, unless such are skipped
 * @throws {LockstepError} when no image of the set or of a class could be used, or an output is NaN or infinite
 *
 * @example
 * ```ts
 * import { evaluate, loadCheckpoint, openEngine } from "../../mod.ts";
 *
 * async function check(run: string, pictures: string) {
 *   await openEngine();
 *   const { model } = await loadCheckpoint(`${run}/checkpoints/best`);
 *   const { accuracy, count } = await evaluate(model, pictures);
 *   console.log(`${accuracy.toFixed(3)} of ${count} pictures`);
 * }
 * ```
 */
export async function evaluate(
  model: LayersModel,
  root: string,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const { split = "val", transforms = IMAGENET, batchSize = 32 } = options;
  const folder = await scanPictures(root, options);
  using source = folder.source;
  const onError = options.onError ?? "fail";
  const samples = folder[split];
  await checkFiles({ ...folder, train: [], val: samples }, { onError });
  const { classes } = folder;
  const outputs = classesOf(model);
  if (outputs !== classes.length) {
    throw new UsageError(
      `The model has ${outputs} classes, but ${root} has ${classes.length} (${classes.join(", ")})`,
    );
  }
  const loader = new Loader({
    source,
    samples,
    pipeline: new TransformPipeline(transformsSchema.parse(transforms)),
    onError,
    prefetch: 2,
    cacheBytes: 0,
  });
  const scores = await validateShard({
    scorer: { evaluate: (batch) => Promise.resolve(scoreOnce(model, batch)) },
    loader,
    samples: samples.length,
    place: { rank: 0, worldSize: 1 },
    batchSize,
  });
  const seen = { what: split === "val" ? "validation" : "training", samples, classes };
  requireUsable({ ...seen, skipped: scores.skipped });
  const rows = new Map(scores.indices.map((index, row) => [index, row]));
  requireFiniteOutputs(seen, (index) => {
    const row = rows.get(index);
    return row === undefined
      ? undefined
      : { loss: scores.losses[row], first: scores.ranked[row * scores.width] };
  }, "these weights can't be measured");
  const labels = scores.indices.map((index) => samples[index].label);
  const report = classificationReport({ ...scores, labels }, classes);
  const { accuracy, count, confusionMatrix: confusion } = report;
  return {
    loss: scores.losses.reduce((sum, loss) => sum + loss, 0) / scores.weight,
    accuracy,
    count,
    perClass: perClassAccuracy(confusionOf(report, classes.length)!, classes),
    ...(confusion ? { confusion } : {}),
    report,
    skipped: scores.skipped.map(({ path, reason }) => ({ path, reason })),
  };
}

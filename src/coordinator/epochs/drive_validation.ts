/**
 * The coordinator's side of a validation: the workers score each sample once, and the coordinator merges the
 * scores.
 *
 * @module
 */
import { recovering } from "../../cluster/recovering.ts";
import { LockstepError } from "../../base/errors.ts";
import type { ImageSet } from "../../data/datasets/image_set.ts";
import type { Phase, Reporter } from "../../events/reporter.ts";
import { type LeftOut, requireFiniteOutputs, requireUsable } from "../../metrics/check_scores.ts";
import { type ConfusionCounts, countConfusions, overallAccuracy } from "../../metrics/confusion.ts";
import type { Reply } from "../../protocol/command_channel.ts";
import type { Json } from "../../protocol/large_json.ts";
import { WORKER_COMMANDS } from "../../protocol/worker_commands.ts";
import type { KeptFeatures } from "../../train/feature_cache.ts";
import { type GatheredScores, gatherScores, type SampleScores } from "./gather_scores.ts";

/** The subset of a cluster that a validation needs. */
export interface ValidatingCluster {
  /** Has every worker run a command; returns the replies in the order of the ranks. */
  callAll(
    name: string,
    args: Json,
    options: { signal?: AbortSignal | undefined },
  ): Promise<Reply[]>;
  /** Records that all ranks validate, for messages. */
  inValidation(epoch: number): void;
  /** As of `Cluster`. */
  recover(cause: unknown, options: { signal?: AbortSignal | undefined }): Promise<unknown>;
  /** Steps that each worker has begun in a command. */
  stepsBegun(command: string): number[];
}

/** The purpose of a validation, for listeners and error messages. */
export interface ValidationPurpose {
  readonly phase: Extract<Phase["name"], "validate" | "evaluate">;
  /** Epochs of the run. */
  readonly epochs: number;
  /** Name of the image set, such as `validation`. */
  readonly images: string;
  /** The end of the message about non-finite outputs. */
  readonly cure: string;
}

/** The parts of a run that a validation needs. */
export interface ValidationDriver {
  readonly cluster: ValidatingCluster;
  readonly reporter: Pick<Reporter, "phase" | "progress">;
  /** The data set whose validation images are scored. */
  readonly dataset: Pick<ImageSet, "val" | "classes" | "learnLabel">;
  /** Samples per step and rank. */
  readonly rowsPerStep: number;
  /** Names of the user-defined metrics. */
  readonly metrics: readonly string[];
  readonly purpose: ValidationPurpose;
}

/** Result of the validation of a state. */
export interface Validated {
  readonly loss: number;
  readonly accuracy: number;
  readonly count: number;
  /** Confusion matrix: samples by true class (row) and predicted class (column). */
  readonly confusion: ConfusionCounts;
  /** Scores by position in the validation set; `undefined` for an image that couldn't be read. */
  readonly samples: readonly (SampleScores | undefined)[];
  /** Predicted class by position in the validation set; -1 where the image couldn't be read. */
  readonly predictions: Int32Array;
  /** User-defined metrics by name; NaN stands for NaN and infinity. */
  readonly metrics?: Readonly<Record<string, number>>;
  readonly skipped: readonly LeftOut[];
  /** The features that the workers cache, if they cache any. */
  readonly features?: KeptFeatures;
}

/** Milliseconds between two readings of the progress of the workers' validation. */
const PROGRESS_MS = 500;

/**
 * Validates the workers' present state, each sample exactly once.
 *
 * @throws {LockstepError} when a sample is missing or scored twice, when no image of the set or of a class could
 * be used, or when the output for an image is not finite
 */
export async function driveValidation(
  driver: ValidationDriver,
  epoch: number,
  signal?: AbortSignal,
): Promise<Validated> {
  const { dataset: { val, classes }, purpose: { phase, epochs } } = driver;
  driver.reporter.phase({ name: phase, epoch, epochs, total: val.length });
  const replies = await scoreAll(driver, epoch, signal);
  const gathered = gatherScores(replies, driver.dataset, driver.metrics);
  checkScores(driver, gathered);
  const { samples, weight, skipped, metrics, features } = gathered;
  const predictions = Int32Array.from(samples, (sample) => sample?.ranked[0] ?? -1);
  const scored = val.filter(({ index }) => samples[index]);
  const confusion = countConfusions(
    scored.map(({ label }) => label),
    scored.map(({ index }) => predictions[index]),
    classes.length,
  );
  // The sum runs in the order of the samples, so that it doesn't depend on the number of workers.
  const lossSum = samples.reduce((sum, sample) => sum + (sample?.loss ?? 0), 0);
  return {
    loss: lossSum / weight,
    accuracy: overallAccuracy(confusion),
    count: scored.length,
    ...{ confusion, samples, predictions, skipped },
    ...(metrics ? { metrics } : {}),
    ...(features ? { features } : {}),
  };
}

/** Has the workers score their shares, and reports the progress. */
async function scoreAll(
  { cluster, reporter, dataset: { val }, rowsPerStep }: ValidationDriver,
  epoch: number,
  signal: AbortSignal | undefined,
): Promise<Reply[]> {
  const ticker = setInterval(() => {
    const steps = cluster.stepsBegun(WORKER_COMMANDS.validate).reduce((sum, step) => sum + step, 0);
    reporter.progress({ done: Math.min(val.length, Math.round(steps * rowsPerStep)) });
  }, PROGRESS_MS);
  try {
    return await recovering(cluster, () => {
      cluster.inValidation(epoch);
      return cluster.callAll(WORKER_COMMANDS.validate, { epoch }, { signal });
    }, signal);
  } finally {
    clearInterval(ticker);
  }
}

/** Refuses a validation without usable images, or with non-finite outputs. */
function checkScores(
  { dataset: { val: samples, classes }, purpose: { images: what, cure } }: ValidationDriver,
  { samples: scores, weight, skipped, layer }: GatheredScores,
): void {
  requireUsable({ what, samples, classes, skipped });
  const outcomeOf = (index: number) => {
    const own = scores[index];
    return own && { loss: own.loss, first: own.ranked[0] };
  };
  requireFiniteOutputs({ what, samples, layer }, outcomeOf, cure);
  if (weight > 0) return;
  throw new LockstepError(
    `All ${what} images belong to classes whose weight in train.classWeights is 0, so there is no loss: ` +
      "give a class that has images a weight above 0",
  );
}

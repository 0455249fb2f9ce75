/**
 * The coordinator's side of an epoch: rules each step, and combines the ranks' results.
 *
 * @module
 */
import { listed } from "../base/listing.ts";
import { LockstepError } from "../base/errors.ts";
import type { ImageSet } from "../data/datasets/image_set.ts";
import type { Config } from "../config/schema.ts";
import type { StepKey } from "../base/step_key.ts";
import type { StepTotals } from "../exchange/gradient_exchange.ts";
import { type NarrowDtype, ROUNDING } from "../exchange/narrow.ts";
import { type ConfusionCounts, countConfusions, overallAccuracy } from "../metrics/confusion.ts";
import type { RankReport } from "../exchange/gradient_exchange.ts";
import { lossCure } from "../optim/loss.ts";
import type { Reply } from "../protocol/command_channel.ts";
import { meanOf, type MetricPart } from "../metrics/metric_parts.ts";
import type { Reporter } from "../events/reporter.ts";
import { type LeftOut, requireFiniteOutputs, requireUsable } from "../metrics/check_scores.ts";
import { WORKER_COMMANDS } from "../protocol/worker_commands.ts";
import { epochOutcomeSchema, shardScoresSchema } from "../train/command_schemas.ts";
import type { KeptFeatures } from "../train/feature_cache.ts";
import { unpackScores } from "../train/score_bytes.ts";
import type { EpochSpan } from "../train/rank_epoch.ts";
import type { Cluster, ExchangingCluster } from "../cluster/cluster.ts";
import type { PreparedRun } from "./prepare.ts";

/** Sums over the samples of an epoch so far. */
export interface EpochTotals {
  /** Each sample's loss times its weight. */
  lossSum: number;
  /** Divisor of the sum for the mean loss. */
  weight: number;
  correct: number;
  count: number;
}

/** An image that couldn't be read. */
export interface Skipped {
  readonly path: string;
  readonly reason: string;
}

/** Result of the training part of an epoch. */
export interface TrainedEpoch {
  /** Steps of the epoch that are done, earlier ones of a resumed epoch included. */
  readonly step: number;
  /** Optimizer steps taken here. */
  readonly optimizerSteps: number;
  readonly totals: EpochTotals;
  /** Samples trained here, without those of a resumed epoch's first part. */
  readonly samples: number;
  readonly skipped: readonly LeftOut[];
  /** Forward passes of a rank whose statistics count in BatchNorm's running ones. */
  readonly trackedBatches: number;
  /** Steps and samples that were left out of the running statistics: see `Replica.forwardBackward`. */
  readonly leftOut: OutOfStatistics;
}

/** Steps and samples that were left out of the running statistics. */
export interface OutOfStatistics {
  readonly steps: number;
  readonly samples: number;
}

/** Milliseconds between two readings of the progress of the workers' validation. */
const PROGRESS_MS = 500;

/** The run, its cluster, and the reporter that listens. */
export interface EpochContext {
  readonly run: PreparedRun;
  readonly cluster: ExchangingCluster;
  readonly reporter: Pick<Reporter, "phase" | "progress">;
}

/** The subset of {@linkcode EpochContext} that a validation needs. */
export interface ValidationContext extends Omit<EpochContext, "run" | "cluster"> {
  readonly cluster: Cluster;
  readonly run:
    & Pick<PreparedRun, "config" | "dataset" | "job" | "plan">
    & Partial<Pick<PreparedRun, "metrics">>;
}

/** Options of a span of steps: its end, and its listeners. */
export interface SpanOptions {
  /** Totals of the epoch's steps that are already done. */
  readonly before: EpochTotals;
  /** Number of steps of the epoch after which to stop. */
  readonly until: number;
  /** Asked at each step; when true, the step is the last one. */
  readonly shouldStop: () => boolean;
  /** Called after each step with the step's own sums, and each rank's report on the step. */
  readonly onStep: (
    step: number,
    sums: EpochTotals,
    ranks: readonly RankReport[],
  ) => void | Promise<void>;
}

/**
 * Trains an epoch, or a part of it.
 *
 * @param signal Ends the epoch at once
 * @throws {LockstepError} when a worker is lost, or loss or gradients are not finite
 */
export async function driveEpoch(
  { run, cluster, reporter }: EpochContext,
  span: EpochSpan,
  { before, until, shouldStop, onStep }: SpanOptions,
  signal: AbortSignal,
): Promise<TrainedEpoch> {
  const { config, plan } = run;
  const { epoch, startStep } = span;
  const done = startStep * plan.globalBatch;
  const total = plan.samplesPerEpoch;
  reporter.phase({ name: "train", epoch, epochs: config.train.epochs, total, done });
  const totals = { ...before };
  const failed = new AbortController();
  const replies = cluster.callAll(WORKER_COMMANDS.trainEpoch, { ...span }, { signal });
  replies.catch((error) => failed.abort(error));
  const stepSignal = AbortSignal.any([failed.signal, signal]);

  let step = startStep;
  let stopped = false;
  let samples = 0;
  let trackedBatches = 0;
  const leftOut = { steps: 0, samples: 0 };
  while (step < plan.stepsPerEpoch && !stopped) {
    cluster.inStep({ epoch, step });
    const decide = () => shouldStop() || step + 1 >= until ? "stop" : "continue";
    const reduced = await cluster.exchange.reducer.reduce({ epoch, step }, decide, stepSignal);
    if (!reduced.finite) throw notFiniteError(run, { epoch, step }, reduced);
    const { lossSum, weight, correct, samples: count } = reduced;
    totals.lossSum += lossSum;
    totals.weight += weight;
    totals.correct += correct;
    totals.count += count;
    samples += count;
    trackedBatches += reduced.trackedBatches;
    leftOut.samples += count - reduced.statisticsRows;
    if (count > reduced.statisticsRows) leftOut.steps++;
    stopped = reduced.action === "stop";
    step++;
    await onStep(step, { lossSum, weight, correct, count }, reduced.ranks);
    const loss = totals.weight > 0 ? { loss: totals.lossSum / totals.weight } : {};
    reporter.progress({ done: done + samples, ...loss });
  }
  const outcomes = (await replies).map(({ result }) => epochOutcomeSchema.parse(result));
  return {
    step,
    optimizerSteps: outcomes[0].steps,
    totals,
    samples,
    skipped: outcomes.flatMap(({ skipped }) => skipped),
    trackedBatches,
    leftOut,
  };
}

/** The model's scores of one sample. */
export interface SampleScores {
  /** Times the sample's weight. */
  readonly loss: number;
  /** Classes, the most probable one first; all of them -1 where the output isn't finite. */
  readonly ranked: readonly number[];
  /** Their probabilities. */
  readonly probabilities: readonly number[];
}

/** Result of the validation of a state. */
export interface Validated {
  readonly loss: number;
  readonly accuracy: number;
  readonly count: number;
  /** Samples by true class (row) and predicted class (column). */
  readonly confusion: ConfusionCounts;
  /** By position in the validation set; nothing where the image couldn't be read. */
  readonly samples: readonly (SampleScores | undefined)[];
  /** Predicted class by position in the validation set; -1 where the image couldn't be read. */
  readonly predictions: Int32Array;
  /** Metrics of the user's own by name; NaN where one is NaN or infinite. */
  readonly metrics?: Readonly<Record<string, number>>;
  readonly skipped: readonly LeftOut[];
  /** The features that all workers keep, when they do. */
  readonly features?: KeptFeatures;
}

/**
 * Validates the workers' present state, each sample exactly once.
 *
 * @throws {LockstepError} when a sample is missing or scored twice, no image of the set or of a class could be used, or
 * the output for an image is not finite
 */
export async function validate(
  { run, cluster, reporter }: ValidationContext,
  epoch: number,
  signal: AbortSignal,
): Promise<Validated> {
  const { config, dataset, job, plan } = run;
  const count = dataset.val.length;
  const name = job.evaluation ? "evaluate" : "validate";
  reporter.phase({ name, epoch, epochs: config.train.epochs, total: count });
  cluster.inValidation(epoch);
  const rows = plan.validation.globalBatch / config.workers;
  const ticker = setInterval(() => {
    const steps = cluster.stepsBegun(WORKER_COMMANDS.validate).reduce((sum, step) => sum + step, 0);
    reporter.progress({ done: Math.min(count, Math.round(steps * rows)) });
  }, PROGRESS_MS);
  const replies = await cluster.callAll(WORKER_COMMANDS.validate, { epoch }, { signal })
    .finally(() => clearInterval(ticker));
  const shards = replies.map(({ result }) => shardScoresSchema.parse(result));
  const { samples, parts } = gather(replies, dataset);
  const predictions = Int32Array.from(samples, (sample) => sample?.ranked[0] ?? -1);
  const skipped = shards.flatMap((shard) => shard.skipped);
  const scored = dataset.val.filter(({ index }) => samples[index]);
  if (scored.length + skipped.length !== count) {
    throw miscounted(`${scored.length} scored and ${skipped.length} skipped of ${count} samples`);
  }
  const weight = shards.reduce((sum, shard) => sum + shard.weight, 0);
  const layer = shards.find(({ nonFiniteLayer }) => nonFiniteLayer !== undefined)?.nonFiniteLayer;
  checkValidated(run, samples, { weight, skipped, layer });
  const confusion = countConfusions(
    scored.map(({ label }) => label),
    scored.map(({ index }) => predictions[index]),
    dataset.classes.length,
  );
  // In the order of the samples, whoever scored them: the sum doesn't depend on the number of workers.
  const lossSum = samples.reduce((sum, sample) => sum + (sample?.loss ?? 0), 0);
  return {
    loss: lossSum / weight,
    accuracy: overallAccuracy(confusion),
    count: scored.length,
    confusion,
    samples,
    predictions,
    skipped,
    ...metricsOf(run.metrics ?? [], parts),
    ...addUp(shards.flatMap(({ features }) => features ?? [])),
  };
}

/** Refuses a validation that says nothing: without images, or with outputs that are not finite. */
function checkValidated(
  { config, dataset: { val: samples, classes }, job }: ValidationContext["run"],
  scores: readonly (SampleScores | undefined)[],
  { weight, skipped, layer }: {
    weight: number;
    skipped: readonly LeftOut[];
    layer: string | undefined;
  },
): void {
  const what = job.evaluation?.split === "train" ? "training" : "validation";
  requireUsable({ what, samples, classes, skipped });
  const outcomeOf = (index: number) => {
    const own = scores[index];
    return own && { loss: own.loss, first: own.ranked[0] };
  };
  const cure = job.evaluation
    ? "nothing was written; evaluate another checkpoint"
    : `${lossCure(config.train, "train.schedule")}; this state is not kept as best`;
  requireFiniteOutputs({ what, samples, layer }, outcomeOf, cure);
  if (weight > 0) return;
  throw new LockstepError(
    `All ${what} images belong to classes whose weight in train.classWeights is 0, so there is no loss: ` +
      "give a class that has images a weight above 0",
  );
}

/** One rank's share of the user's own metrics. */
interface MetricShard {
  readonly indices: readonly number[];
  readonly metrics: readonly MetricPart[];
}

/** The user's own metrics over all samples. */
function metricsOf(
  names: readonly string[],
  parts: readonly MetricShard[],
): { metrics?: Record<string, number> } {
  if (names.length === 0) return {};
  const scored = parts.filter(({ metrics }) => metrics.length > 0);
  const indices = scored.map((part) => part.indices);
  const values = names.map((name, at) => {
    const mean = meanOf(scored.map(({ metrics }) => metrics[at]), indices);
    // Records have one form for what isn't finite, so that a resumed run sees what the first one saw.
    return [name, Number.isFinite(mean) ? mean : NaN] as const;
  });
  return { metrics: Object.fromEntries(values) };
}

/**
 * Puts the ranks' scores in the order of the samples.
 *
 * @throws {LockstepError} when a sample is scored twice, or is none
 */
function gather(
  replies: readonly Reply[],
  dataset: ImageSet,
): { samples: (SampleScores | undefined)[]; parts: MetricShard[] } {
  const count = dataset.val.length;
  const samples = new Array<SampleScores | undefined>(count).fill(undefined);
  const parts = replies.map(({ result, payload }) => {
    const { metrics, ...shape } = shardScoresSchema.parse(result);
    const { width } = shape;
    const valued = metrics.filter((metric) => metric.valued).length;
    const scores = unpackScores(payload!, { ...shape, valued });
    const { indices, labels, losses, ranked, probabilities, values } = scores;
    indices.forEach((index, position) => {
      if (index >= count) throw miscounted(`sample ${index} was scored, of ${count}`);
      if (samples[index]) throw miscounted(`sample ${index} was scored twice`);
      dataset.learnLabel?.("val", index, labels[position]);
      const at = position * width;
      samples[index] = {
        loss: losses[position],
        ranked: ranked.slice(at, at + width),
        probabilities: probabilities.slice(at, at + width),
      };
    });
    let next = 0;
    const own = metrics.map(({ valued, sum, count }) => ({
      values: valued ? values[next++] : [],
      sum,
      count,
    }));
    return { indices, metrics: own };
  });
  return { samples, parts };
}

/** Adds up the counts of the features that several workers keep. */
function addUp(parts: readonly KeptFeatures[]): { features?: KeptFeatures } {
  if (parts.length === 0) return {};
  const sum = (key: keyof KeptFeatures) => parts.reduce((total, part) => total + part[key], 0);
  return { features: { train: sum("train"), val: sum("val"), bytes: sum("bytes") } };
}

function miscounted(what: string): LockstepError {
  return new LockstepError(`Validation doesn't add up: ${what}`);
}

/** Names the images of the first bad rank: one of the images may be the cause. */
function notFiniteError(
  { config, dataset, plan }: PreparedRun,
  { epoch, step }: StepKey,
  { worstRank: rank, tooLargeFor }: StepTotals,
): LockstepError {
  const where = `in epoch ${epoch}, step ${step}`;
  if (tooLargeFor) {
    return new LockstepError(formatOverflow(tooLargeFor, rank, where, config));
  }
  const cure = lossCure(config.train, "the data");
  if (rank === undefined) {
    return new LockstepError(
      `The sum of the gradients became infinite ${where}, no update was made: ${cure}`,
    );
  }
  const [{ indices }] = plan.training.steps(epoch, { rank, worldSize: config.workers }, step);
  const files = listed(Array.from(indices, (index) => dataset.train[index].path), {
    max: MAX_NAMED_FILES,
  });
  return new LockstepError(
    `Loss or gradients became NaN or infinite on rank ${rank} ${where}, no update was made: ${cure}; ` +
      `its images were ${files}`,
  );
}

/** Files that a message names. */
const MAX_NAMED_FILES = 20;

/** A gradient that is finite, but not in the dtype in which it should have travelled. */
function formatOverflow(
  dtype: NarrowDtype,
  rank: number | undefined,
  where: string,
  { train }: Config,
): string {
  const whose = rank === undefined
    ? "The sum of the gradients has"
    : `Gradients of rank ${rank} have`;
  const wider = dtype === "float16" ? "bfloat16 or float32" : "float32";
  return `${whose} values too large for ${dtype} (at most ${
    ROUNDING[dtype].largest
  }) ${where}, no update was made: ` +
    `set nats.gradientDtype to ${wider}, or ${lossCure(train)}`;
}

/**
 * Validation of one rank's share of the samples.
 *
 * @module
 */
import type { RankInfo } from "../base/rank_info.ts";
import type { EpochPlanner } from "../data/loading/epoch_planner.ts";
import type { Loader, SkippedSample } from "../data/loading/loader.ts";
import { addParts, type MetricPart, type MetricTotal } from "../metrics/metric_parts.ts";
import type { StepPhase } from "../protocol/step_phases.ts";
import { type LabelledImages, rowOf } from "./labelled_images.ts";
import { microBatchesOf, type MicroBatching } from "./micro_batches.ts";
import type { Replica } from "./replica.ts";
import { firstNonFinite, type Ranking } from "./scores.ts";

/** Scores batches in eval mode; a {@linkcode Replica} is one. */
export type Scorer = Pick<Replica, "evaluate" | "findNonFiniteLayer">;

/** Scores of a rank's share of the images. */
export interface ShardScores {
  /** Divisor of the sum of the losses. */
  readonly weight: number;
  /** [n], positions in the validation set. */
  readonly indices: readonly number[];
  /** [n], true classes. */
  readonly labels: readonly number[];
  /** [n], each sample's loss times its weight. */
  readonly losses: readonly number[];
  /** Classes per sample that are put in order; 0 without samples. */
  readonly width: number;
  /** [n, width], the most probable class first. */
  readonly ranked: readonly number[];
  /** [n, width], the probabilities of these classes. */
  readonly probabilities: readonly number[];
  /** Metrics of the user's own, in their order. */
  readonly metrics: readonly MetricPart[];
  readonly skipped: readonly SkippedSample[];
  /** The first layer with a non-finite output, where an output is non-finite. */
  readonly nonFiniteLayer?: string;
}

/**
 * Scores this rank's share of the loader's samples in eval mode. Over all ranks each sample is scored exactly
 * once: shares are disjoint, and none is padded.
 *
 * @param planner Plans the steps over all ranks, with the samples in their own order
 * @param onPhase Called when a part of a step begins, with the number of the step
 */
export async function validateShard(
  { scorer, loader, planner, place, batching = {} }: {
    scorer: Scorer;
    loader: Loader;
    planner: EpochPlanner;
    place: RankInfo;
    /** The division of a step's rows into passes. */
    batching?: MicroBatching;
  },
  onPhase: (step: number, phase: StepPhase) => void = () => {},
  signal?: AbortSignal,
): Promise<ShardScores> {
  const plan = planner.steps(0, place);
  let weight = 0;
  let width = 0;
  const indices: number[] = [];
  const labels: number[] = [];
  const losses: number[] = [];
  const ranked: number[] = [];
  const probabilities: number[] = [];
  const skipped: SkippedSample[] = [];
  const metrics: MetricTotal[] = [];
  let nonFiniteLayer: string | undefined;
  onPhase(0, "waiting for its batch");
  for await (const batch of loader.batches(plan, 0, { seed: 0, signal, reuse: true })) {
    onPhase(batch.step, "computing");
    skipped.push(...batch.skipped);
    indices.push(...batch.indices);
    labels.push(...batch.labels);
    for (const { part } of microBatchesOf(batch, batching)) {
      const scores = await scorer.evaluate(part);
      nonFiniteLayer ??= layerOf(scorer, part, scores);
      weight += scores.weight;
      width = scores.width;
      losses.push(...scores.losses);
      ranked.push(...scores.ranked);
      probabilities.push(...scores.probabilities);
      addParts(metrics, scores.metrics ?? []);
    }
    onPhase(batch.step + 1, "waiting for its batch");
  }
  return {
    ...{ weight, indices, labels, losses, width, ranked, probabilities, metrics, skipped },
    ...(nonFiniteLayer === undefined ? {} : { nonFiniteLayer }),
  };
}

/** The layer that caused the first non-finite output of a batch, if there is one. */
function layerOf(scorer: Scorer, batch: LabelledImages, scores: Ranking): string | undefined {
  const row = firstNonFinite(scores);
  return row < 0 ? undefined : scorer.findNonFiniteLayer(rowOf(batch, row));
}

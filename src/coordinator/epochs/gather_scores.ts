/**
 * Merges the ranks' scores of a set of samples.
 *
 * @module
 */
import type { z } from "../../deps/zod.ts";
import { LockstepError } from "../../base/errors.ts";
import type { ImageSet } from "../../data/datasets/image_set.ts";
import type { LeftOut } from "../../metrics/check_scores.ts";
import { meanOf, type MetricPart } from "../../metrics/metric_parts.ts";
import type { Reply } from "../../protocol/command_channel.ts";
import { shardScoresSchema } from "../../train/command_schemas.ts";
import type { KeptFeatures } from "../../train/feature_cache.ts";
import { unpackScores } from "../../train/score_bytes.ts";

/** The model's scores of one sample. */
export interface SampleScores {
  /** Loss of the sample, multiplied by the sample's weight. */
  readonly loss: number;
  /** Class indices by falling probability; all of them -1 if the output isn't finite. */
  readonly ranked: readonly number[];
  /** Probabilities of these classes. */
  readonly probabilities: readonly number[];
}

/** The scores of all ranks. */
export interface GatheredScores {
  /** By position in the set; `undefined` for an image that couldn't be read. */
  readonly samples: readonly (SampleScores | undefined)[];
  /** Divisor of the sum of the losses. */
  readonly weight: number;
  readonly skipped: readonly LeftOut[];
  /** The first layer with a non-finite output, if there is one. */
  readonly layer: string | undefined;
  /** User-defined metrics by name; NaN stands for NaN and infinity. */
  readonly metrics?: Readonly<Record<string, number>>;
  /** The features that the workers cache, if they cache any. */
  readonly features?: KeptFeatures;
}

/** The samples to score. */
export type ScoredSet = Pick<ImageSet, "val" | "learnLabel">;

/** One rank's share of the user-defined metrics. */
interface MetricShard {
  readonly indices: readonly number[];
  readonly metrics: readonly MetricPart[];
}

/**
 * Merges the ranks' answers to `validate` in the order of the samples.
 *
 * @param metricNames Names of the user-defined metrics
 * @throws {LockstepError} when a sample is missing, scored twice or unknown
 */
export function gatherScores(
  replies: readonly Reply[],
  set: ScoredSet,
  metricNames: readonly string[],
): GatheredScores {
  const count = set.val.length;
  const shards = replies.map(({ result }) => shardScoresSchema.parse(result));
  const samples = new Array<SampleScores | undefined>(count).fill(undefined);
  const parts = replies.map(({ payload }, index) =>
    placeScores(shards[index], payload!, set, samples)
  );
  const skipped = shards.flatMap((shard) => shard.skipped);
  const scored = set.val.filter(({ index }) => samples[index]).length;
  if (scored + skipped.length !== count) {
    throw miscounted(`${scored} scored and ${skipped.length} skipped of ${count} samples`);
  }
  return {
    samples,
    weight: shards.reduce((sum, shard) => sum + shard.weight, 0),
    skipped,
    layer: shards.find(({ nonFiniteLayer }) => nonFiniteLayer !== undefined)?.nonFiniteLayer,
    ...metricsOf(metricNames, parts),
    ...addUp(shards.flatMap(({ features }) => features ?? [])),
  };
}

/**
 * Writes one rank's scores to the positions of their samples.
 *
 * @returns The rank's share of the user-defined metrics
 */
function placeScores(
  { metrics, ...shape }: z.output<typeof shardScoresSchema>,
  payload: Uint8Array<ArrayBuffer>,
  set: ScoredSet,
  samples: (SampleScores | undefined)[],
): MetricShard {
  const { width } = shape;
  const valued = metrics.filter((metric) => metric.valued).length;
  const scores = unpackScores(payload, { ...shape, valued });
  const { indices, labels, losses, ranked, probabilities, values } = scores;
  indices.forEach((index, position) => {
    if (index >= samples.length) {
      throw miscounted(`sample ${index} was scored, of ${samples.length}`);
    }
    if (samples[index]) throw miscounted(`sample ${index} was scored twice`);
    set.learnLabel?.("val", index, labels[position]);
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
}

/** The user-defined metrics over all samples. */
function metricsOf(
  names: readonly string[],
  parts: readonly MetricShard[],
): { metrics?: Record<string, number> } {
  if (names.length === 0) return {};
  const scored = parts.filter(({ metrics }) => metrics.length > 0);
  const indices = scored.map((part) => part.indices);
  const values = names.map((name, at) => {
    const mean = meanOf(scored.map(({ metrics }) => metrics[at]), indices);
    // Records write NaN and infinity alike, so that a resumed run sees the same values as the first one.
    return [name, Number.isFinite(mean) ? mean : NaN] as const;
  });
  return { metrics: Object.fromEntries(values) };
}

/** Adds up the counts of the features that the workers cache. */
function addUp(parts: readonly KeptFeatures[]): { features?: KeptFeatures } {
  if (parts.length === 0) return {};
  const sum = (key: keyof KeptFeatures) => parts.reduce((total, part) => total + part[key], 0);
  return { features: { train: sum("train"), val: sum("val"), bytes: sum("bytes") } };
}

function miscounted(what: string): LockstepError {
  return new LockstepError(`Validation doesn't add up: ${what}`);
}

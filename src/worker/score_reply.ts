/**
 * A worker's answer to `validate`: the scores of its share of the samples.
 *
 * @module
 */
import type { MetricPart } from "../metrics/metric_parts.ts";
import type { CommandOutcome } from "../protocol/command_channel.ts";
import type { KeptFeatures } from "../train/feature_cache.ts";
import { packScores } from "../train/score_bytes.ts";
import type { ShardScores } from "../train/validate.ts";

/** @param features The features that the worker keeps so far, when it does */
export function scoreReply(scores: ShardScores, features?: KeptFeatures): CommandOutcome {
  const result = {
    weight: scores.weight,
    count: scores.indices.length,
    width: scores.width,
    metrics: scores.metrics.map(({ values, sum, count }) => ({
      valued: values.length > 0,
      sum: finiteOrNull(sum),
      count: finiteOrNull(count),
    })),
    skipped: scores.skipped.map((sample) => ({ ...sample })),
    ...(features ? { features: { ...features } } : {}),
    ...(scores.nonFiniteLayer === undefined ? {} : { nonFiniteLayer: scores.nonFiniteLayer }),
  };
  return { result, payload: packScores({ ...scores, values: valuesOf(scores.metrics) }) };
}

/** Returns the values per sample of the user's own metrics. */
function valuesOf(metrics: readonly MetricPart[]): (readonly number[])[] {
  return metrics.map(({ values }) => values).filter((values) => values.length > 0);
}

/** JSON has no NaN and no infinity. */
function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

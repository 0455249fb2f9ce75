/**
 * The times of the parts of a run's steps, added up.
 *
 * @module
 */
import {
  type BreakdownPart,
  perBreakdownPart,
  perStepPart,
  type StepTimes,
} from "../base/step_times.ts";
import type { MetricsPoint } from "../records/metrics_log.ts";
import type { BarPart } from "../web/bars.ts";
import { mean, quantile } from "../base/statistics.ts";

/** Points from which on the first, in which the step is traced, is left out of means. */
const ENOUGH = 3;
/** A rank that needs so much more time of its own than the others' median is slow. */
const SLOW = 1.2;

/** The parts from the foot of a stack up, with their names and colours. */
export const BREAKDOWN = [
  { part: "forwardBackward", label: "forward and backward", brief: "compute", colour: "compute" },
  { part: "data", label: "waiting for data", brief: "data", colour: "data" },
  { part: "exchange", label: "exchange", brief: "exchange", colour: "exchange" },
  { part: "idle", label: "waiting for slower workers", brief: "idle", colour: "idle" },
  { part: "update", label: "update", brief: "update", colour: "update" },
] as const satisfies readonly (Omit<BarPart, "value"> & { part: BreakdownPart; brief: string })[];

/** The mean times of a rank. */
export interface RankSummary {
  readonly rank: number;
  readonly samples: number;
  readonly imagesPerSecond: number;
  readonly ms: StepTimes;
  readonly mostResidentBytes: number | undefined;
  /** The others wait for it. */
  readonly slow: boolean;
}

/** The points whose times stand for the run: without the first, as far as there are others. */
export function usualPoints(metrics: readonly MetricsPoint[]): readonly MetricsPoint[] {
  return metrics.length > ENOUGH ? metrics.slice(1) : metrics;
}

/** The steps of an epoch, as far as points show them. */
export function epochSteps(metrics: readonly MetricsPoint[]): number {
  return metrics.reduce((most, { step }) => Math.max(most, step), 1);
}

/** A place on the axis of all steps, counted from 1. */
export function stepNumbers(metrics: readonly MetricsPoint[]): number[] {
  const perEpoch = epochSteps(metrics);
  return metrics.map(({ epoch, step }) => (epoch - 1) * perEpoch + step);
}

/** Mean milliseconds of each part of a step. */
export function meanStep(
  metrics: readonly MetricsPoint[],
): Record<BreakdownPart | "total", number> {
  const points = usualPoints(metrics);
  const of = (part: BreakdownPart | "total") => mean(points.map(({ ms }) => ms[part]));
  return { ...perBreakdownPart(of), total: of("total") };
}

/** Each rank's means, by rank. */
export function rankTimes(metrics: readonly MetricsPoint[]): RankSummary[] {
  const points = usualPoints(metrics);
  const ranks = [...new Set(points.flatMap(({ ranks }) => ranks.map(({ rank }) => rank)))];
  const times = ranks.sort((a, b) => a - b).map((rank) => {
    const own = points.flatMap((point) => point.ranks.filter((each) => each.rank === rank));
    const of = (part: keyof StepTimes) => mean(own.map(({ ms }) => ms[part]));
    const resident = own.flatMap(({ residentBytes }) => residentBytes ?? []);
    const ms = perStepPart(of);
    return {
      rank,
      samples: metrics.reduce(
        (sum, { ranks }) => sum + (ranks.find((each) => each.rank === rank)?.samples ?? 0),
        0,
      ),
      imagesPerSecond: mean(own.map(({ imagesPerSecond }) => imagesPerSecond)),
      ms,
      mostResidentBytes: resident.length > 0 ? Math.max(...resident) : undefined,
      own: ms.data + ms.forwardBackward,
    };
  });
  return times.map(({ own, ...rest }) => {
    const others = times.filter(({ rank }) => rank !== rest.rank).map((other) => other.own);
    return { ...rest, slow: others.length > 0 && own > SLOW * quantile(others, 0.5) };
  });
}

/**
 * A comparison as a table for the terminal.
 *
 * @module
 */
import { bestVariant, type Comparison, summarizeRun, summarizeVariant } from "./comparison.ts";
import { formatDuration, formatRate } from "../base/format.ts";
import type { Spread } from "./spread.ts";
import { type Column, fitTable } from "../terminal/table.ts";

/** Settings that are listed: weights of classes are a setting each. */
const MAX_SETTINGS = 40;

/**
 * A row for each variant: accuracy, time and speed, the best one marked; below it the keys in which they differ.
 *
 * @param width Characters per line
 */
export function comparisonLines(comparison: Comparison, width: number): string[] {
  const best = bestVariant(comparison);
  const repeats = Math.max(...comparison.variants.map(({ runs }) => runs.length));
  const columns: Column[] = [
    { title: "", givesWay: 1, leastWidth: 12 },
    { title: "best accuracy", align: "right" },
    repeats > 1
      ? { title: "range", align: "right", givesWay: 3 }
      : { title: "epoch", align: "right", givesWay: 3 },
    { title: "time", align: "right" },
    { title: "speed", align: "right", givesWay: 2 },
    { title: "" },
  ];
  const rows = comparison.variants.map((variant) => {
    const { bestAccuracy, seconds, imagesPerSecond, finished, runs } = summarizeVariant(variant);
    const none = !Number.isFinite(bestAccuracy.mean);
    const failed = variant.runs.some(({ status }) => status === "failed");
    const state = failed ? "failed" : finished < runs ? "unfinished" : "";
    return [
      variant.label,
      none ? "–" : withDeviation(bestAccuracy, runs),
      none
        ? "–"
        : repeats > 1
        ? `${bestAccuracy.least.toFixed(3)} to ${bestAccuracy.most.toFixed(3)}`
        : String(summarizeRun(variant.runs[0]).bestEpoch),
      none ? "–" : formatDuration(seconds.mean),
      Number.isFinite(imagesPerSecond.mean) ? formatRate(imagesPerSecond.mean) : "–",
      [variant === best ? "← best" : "", state].filter(Boolean).join(", "),
    ];
  });
  return [...fitTable(columns, rows, width).lines, "", ...differenceLines(comparison, width)];
}

function withDeviation({ mean, deviation }: Spread, runs: number): string {
  return runs > 1 ? `${mean.toFixed(3)} ± ${deviation.toFixed(3)}` : mean.toFixed(3);
}

/** The keys in which the variants differ, a row for each; no line when there is none. */
function differenceLines({ variants }: Comparison, width: number): string[] {
  const all = Object.keys(variants[0].differences);
  if (all.length === 0) return [];
  const keys = all.slice(0, MAX_SETTINGS);
  const columns: Column[] = [
    { title: "differs in" },
    ...variants.map(({ label }, index) => ({
      title: label,
      givesWay: index + 1,
      leastWidth: Math.max(12, label.length),
    })),
  ];
  const rows = keys.map((key) => [
    key,
    ...variants.map(({ differences }) => valueText(differences[key])),
  ]);
  const left = all.length - keys.length;
  const more = left > 0 ? [`and ${left} more, in comparison.json`] : [];
  return [...fitTable(columns, rows, width).lines, ...more, ""];
}

function valueText(value: unknown): string {
  if (value === null || value === undefined) return "–";
  return typeof value === "string" ? value : JSON.stringify(value);
}

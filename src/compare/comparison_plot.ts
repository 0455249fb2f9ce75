/**
 * Validation accuracy against epochs for each variant of a comparison, as `comparison.svg` and `comparison.png`.
 *
 * @module
 */
import type { TopLevelSpec } from "../deps/vega_lite.ts";
import { type ComparedVariant, type Comparison, summarizeVariant } from "./comparison.ts";
import { epochTicks } from "../plots/curves.ts";
import { truncate } from "../base/format.ts";
import { COLOURS, PLOT_CONFIG, SERIES_COLOURS, writePlot } from "../plots/plot.ts";
import { spreadOf } from "./spread.ts";
import { someEpochs } from "../plots/thin.ts";

const SIZE = { width: 720, height: 420 };
/** Above this many epochs, single points would only be clutter. */
const MAX_MARKED_EPOCHS = 30;
/** Most points of the picture, all lines together, and of a line. */
const MAX_POINTS = 12_000;
const MAX_LINE_POINTS = 1000;
/**
 * Width of a character of the legend, as Vega guesses it without a browser, and of what stands around an entry, in
 * pixels: longer entries would widen the picture.
 */
const CHARACTER = 12;
const ENTRY = 36;
const MAX_ENTRY = Math.floor((SIZE.width - ENTRY) / CHARACTER);

/** Dashes of lines: {@linkcode SERIES_COLOURS} come again with another dash. */
const DASHES = [[1, 0], [7, 4], [2, 3], [10, 3, 2, 3]];

/** Draws a comparison into its folder. */
export async function writeComparisonPlot(folder: string, comparison: Comparison): Promise<void> {
  await writePlot(folder, "comparison", comparisonSpec(comparison));
}

/** The plot as a Vega-Lite specification. */
export function comparisonSpec({ name, variants }: Comparison): TopLevelSpec {
  const names = legendNames(variants);
  const most = Math.min(MAX_LINE_POINTS, Math.ceil(MAX_POINTS / variants.length));
  const rows = variants.flatMap((variant, index) =>
    pointsOf(variant, most).map((point) => ({ ...point, variant: names[index] }))
  );
  const epochs = Math.max(1, ...variants.map(({ config }) => config.train.epochs));
  const repeats = Math.max(...variants.map(({ runs }) => runs.length));
  const x = {
    field: "epoch",
    type: "quantitative" as const,
    title: "Training Epochs",
    scale: { domain: epochs === 1 ? [0, 2] : [1, epochs], nice: false, padding: 14 },
    axis: { values: epochTicks(epochs), format: "d", grid: false },
  };
  const y = (field: string) => ({
    field,
    type: "quantitative" as const,
    title: "Validation Accuracy",
    scale: { domain: [0, 1], nice: false },
    axis: { tickCount: 6, format: ".1f" },
  });
  const columns = Math.max(
    1,
    Math.floor(SIZE.width / (Math.max(...names.map(({ length }) => length)) * CHARACTER + ENTRY)),
  );
  const legend = {
    orient: "bottom" as const,
    title: null,
    columns,
    offset: 12,
    rowPadding: 6,
    symbolOpacity: 1,
  };
  const color = {
    field: "variant",
    type: "nominal" as const,
    scale: { domain: names, range: names.map((_, i) => SERIES_COLOURS[i % SERIES_COLOURS.length]) },
    legend,
  };
  const strokeDash = {
    field: "variant",
    type: "nominal" as const,
    scale: {
      domain: names,
      range: names.map((_, i) => DASHES[Math.floor(i / SERIES_COLOURS.length) % DASHES.length]),
    },
    legend,
  };
  const bands = repeats > 1
    ? [{
      mark: { type: "area" as const, opacity: 0.16 },
      encoding: { x, y: y("least"), y2: { field: "most" }, color },
    }]
    : [];
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    background: "white",
    padding: 16,
    title: {
      text: "Validation Accuracy vs. Number of Training Epochs",
      subtitle: subtitleOf(name, repeats),
      anchor: "start",
      offset: 14,
      fontSize: 20,
      subtitleFontSize: 15,
      subtitlePadding: 6,
      subtitleColor: COLOURS.quiet,
    },
    ...SIZE,
    data: { values: rows },
    layer: [
      ...bands,
      {
        mark: {
          type: "line",
          strokeWidth: 2.5,
          point: epochs <= MAX_MARKED_EPOCHS ? { size: 50 } : false,
        },
        encoding: {
          x,
          y: y("mean"),
          color,
          ...(names.length > SERIES_COLOURS.length ? { strokeDash } : {}),
        },
      },
    ],
    config: PLOT_CONFIG,
  };
}

function subtitleOf(name: string, repeats: number): string {
  const short = truncate(name, 40);
  return repeats > 1 ? `${short}; mean of ${repeats} seeds, from the lowest to the highest` : short;
}

/** Names with the best accuracies; all different, since they are what tells the lines apart. */
function legendNames(variants: readonly ComparedVariant[]): string[] {
  const results = variants.map((variant) => {
    const { bestAccuracy: { mean, deviation }, runs, finished } = summarizeVariant(variant);
    if (!Number.isFinite(mean)) return "no result";
    const spread = runs > 1 ? ` ± ${deviation.toFixed(3)}` : "";
    return `best ${mean.toFixed(3)}${spread}${finished < runs ? ", unfinished" : ""}`;
  });
  const longest = Math.max(...results.map(({ length }) => length));
  const room = MAX_ENTRY - longest - " #99 ()".length;
  const labels = variants.map(({ label }) => cutInside(label, room));
  return labels.map((label, index) => {
    const twin = labels.indexOf(label) < index ? ` #${index + 1}` : "";
    return `${label}${twin} (${results[index]})`;
  });
}

/** Text without its middle, where names of variants say least. */
function cutInside(text: string, length: number): string {
  if (text.length <= length) return text;
  const end = Math.floor((length - 1) / 2);
  return `${text.slice(0, length - 1 - end).trimEnd()}…${text.slice(-end).trimStart()}`;
}

/**
 * Mean, lowest and highest accuracy per epoch; null is a gap in the line, where accuracies are not finite.
 *
 * @param count Most points: of more epochs every k-th is shown
 */
function pointsOf({ runs }: ComparedVariant, count: number) {
  const epochs = Math.max(0, ...runs.map((run) => run.epochs.length));
  return someEpochs(epochs, count).map((epoch) => {
    const accuracies = runs.flatMap((run) => run.epochs[epoch - 1]?.validation.accuracy ?? []);
    const { mean, least, most } = spreadOf(accuracies);
    const shown = (value: number) => Number.isFinite(value) ? value : null;
    return { epoch, mean: shown(mean), least: shown(least), most: shown(most) };
  });
}

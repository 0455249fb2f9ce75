/**
 * Loss and accuracy per epoch as `curves.svg` and `curves.png`.
 *
 * @module
 */
import { counted } from "../base/format.ts";
import type { TopLevelSpec } from "../deps/vega_lite.ts";
import type { EpochRecord, History } from "../records/history.ts";
import { metricsPanels } from "./metrics_panel.ts";
import { COLOURS, PLOT_CONFIG, specAsSvg, writePlot } from "./plot.ts";
import { thinEpochs } from "./thin.ts";

/** Size of one panel's plot area, in pixels of the SVG. */
const PANEL = { width: 480, height: 320 };
/** Between two panels. */
const SPACING = 40;
/** Most labels on the epoch axis. */
const MAX_TICKS = 10;
/** Above this many epochs, single points would only be clutter. */
const MAX_POINTS = 30;
/** Room below the least accuracy, so that its point does not sit on the axis. */
const FOOT_ROOM = 0.04;

type Measure = "loss" | "accuracy";

/**
 * Draws the curves of all epochs so far, the best epoch marked.
 *
 * @param folder The run folder
 */
export async function writeCurves(folder: string, history: History): Promise<void> {
  await writePlot(folder, "curves", curvesSpec(history));
}

/** The curves as an SVG document. */
export async function curvesAsSvg(history: History): Promise<string> {
  return await specAsSvg(curvesSpec(history));
}

/** The curves as a Vega-Lite specification. */
export function curvesSpec(history: History): TopLevelSpec {
  const { best, workers, epochs } = history;
  const name = typeof history.config.name === "string" ? history.config.name : "run";
  const result = best.epoch > 0
    ? Number.isFinite(best.accuracy)
      ? `best validation accuracy ${best.accuracy.toFixed(3)} in epoch ${best.epoch}`
      : `best in epoch ${best.epoch}`
    : "no epoch yet";
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    background: "white",
    padding: 16,
    title: {
      text: name,
      subtitle: `${result}, ${counted(workers, "worker")}`,
      anchor: "start",
      offset: 18,
      fontSize: 20,
      subtitleFontSize: 15,
      subtitlePadding: 6,
      subtitleColor: COLOURS.quiet,
    },
    ...panels(thinEpochs(epochs, best.epoch), best.epoch, epochs.length),
    spacing: SPACING,
    config: PLOT_CONFIG,
  };
}

/** The panels beside each other; those of loss and accuracy share their colours, the metrics have their own. */
function panels(epochs: EpochRecord[], bestEpoch: number, last: number) {
  const both = [panel("loss", epochs, bestEpoch, last), panel("accuracy", epochs, bestEpoch, last)];
  const own = metricsPanels(epochs, PANEL, epochAxis(last), epochs.length <= MAX_POINTS);
  if (own.length === 0) return { hconcat: both };
  const apart = { color: "independent" as const, strokeDash: "independent" as const };
  return {
    hconcat: [{ hconcat: both, spacing: SPACING }, ...own],
    resolve: { scale: apart, legend: apart },
  };
}

/** One panel: a line for training, one for validation, and the mark of the best epoch. */
function panel(measure: Measure, epochs: EpochRecord[], bestEpoch: number, last: number) {
  const rows = epochs.flatMap((record) =>
    (["train", "validation"] as const).map((part) => {
      const value = record[part][measure];
      // null is a gap in the line: there the value is not finite
      return { epoch: record.epoch, part, value: Number.isFinite(value) ? value : null };
    })
  );
  const best = rows.filter(({ epoch, part }) => epoch === bestEpoch && part === "validation");
  const x = epochAxis(last);
  const y = {
    field: "value",
    type: "quantitative" as const,
    title: measure,
    scale: valueScale(measure, rows.flatMap(({ value }) => value ?? [])),
    axis: { tickCount: 6 },
  };
  const color = {
    field: "part",
    type: "nominal" as const,
    scale: { domain: ["train", "validation"], range: [COLOURS.train, COLOURS.validation] },
    legend: { orient: "top" as const, direction: "horizontal" as const, title: null },
  };
  return {
    ...PANEL,
    data: { values: rows },
    layer: [
      {
        data: { values: best },
        mark: { type: "rule" as const, strokeDash: [5, 4], color: COLOURS.quiet },
        encoding: { x },
      },
      {
        mark: {
          type: "line" as const,
          strokeWidth: 2.5,
          point: epochs.length <= MAX_POINTS ? { size: 50 } : false,
        },
        encoding: { x, y, color },
      },
      ...bestMark(measure, best, last, x, y),
    ],
  };
}

/** The axis of epochs, from the first to the last. */
function epochAxis(length: number) {
  return {
    field: "epoch",
    type: "quantitative" as const,
    title: "epoch",
    scale: { domain: epochDomain(length), nice: false, padding: 14 },
    axis: { values: epochTicks(length), format: "d", grid: false },
  };
}

/**
 * A ring around the best epoch's point, and its value beside the dashed line: at the top of the losses and
 * at the foot of the accuracies, where curves seldom are, with a white rim that keeps it legible anyway.
 */
function bestMark(
  measure: Measure,
  best: { epoch: number; value: number | null }[],
  epochs: number,
  x: object,
  y: object,
) {
  const inRightHalf = best.length > 0 && best[0].epoch > (epochs + 1) / 2;
  const label = {
    type: "text" as const,
    align: inRightHalf ? "right" as const : "left" as const,
    dx: inRightHalf ? -8 : 8,
    y: measure === "loss" ? 16 : PANEL.height - 16,
    fontSize: 15,
    fontWeight: "bold" as const,
  };
  const encoding = { x, text: { field: "label", type: "nominal" as const } };
  const data = {
    values: best.map((row) => ({
      ...row,
      label: `epoch ${row.epoch}: ${row.value?.toFixed(3) ?? "no number"}`,
    })),
  };
  const ring = { type: "point" as const, size: 220, strokeWidth: 2.5, filled: false, opacity: 1 };
  return [
    { data, mark: { ...ring, color: COLOURS.validation }, encoding: { x, y } },
    { data, mark: { ...label, stroke: "white", strokeWidth: 5 }, encoding },
    { data, mark: { ...label, color: COLOURS.validation }, encoding },
  ];
}

/** The first and the last epoch; a single one stands in the middle. */
function epochDomain(epochs: number): [number, number] {
  return epochs <= 1 ? [0, 2] : [1, epochs];
}

/** Whole epochs at even steps of 1, 2 or 5 times a power of ten: 1, 2, 3 … or 5, 10, 15 …. */
export function epochTicks(epochs: number): number[] {
  const count = Math.max(1, epochs);
  const factors = [2, 2.5, 2];
  let step = 1;
  for (let turn = 0; count / step > MAX_TICKS; turn++) step *= factors[turn % factors.length];
  return Array.from({ length: Math.floor(count / step) }, (_, index) => (index + 1) * step);
}

/** Loss from 0; accuracy up to 1, and down to the tenth below the least. */
function valueScale(measure: Measure, values: number[]) {
  if (measure === "loss") {
    return values.length > 0 ? { zero: true, nice: true } : { domain: [0, 1] };
  }
  const least = Math.min(0.9, ...values.map((value) => value - FOOT_ROOM));
  return { domain: [Math.max(0, Math.floor(least * 10) / 10), 1], zero: false, nice: false };
}

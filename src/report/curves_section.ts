/**
 * Loss, accuracy and learning rate over the run.
 *
 * @module
 */
import type { EpochRecord, History, LossPoint } from "../records/history.ts";
import { chartFigure, type ChartSpec } from "../web/chart.ts";
import { html } from "../web/html.ts";
import { MAX_POINTS, thinEpochs, thinLosses } from "../plots/thin.ts";
import { formatLoss, formatPercent, groupedCount } from "../base/format.ts";
import { chartValue, inWindows } from "../web/chart_values.ts";
import { mean } from "../base/statistics.ts";
import type { Section } from "./section.ts";

/** Most points of a line. */
const MAX_WINDOWS = 800;
/** From so many points on, a smoothed line helps. */
const MIN_SMOOTH = 30;

type Part = "train" | "validation";
type Measure = "loss" | "accuracy";

/** The curves; nothing while there is no epoch and no point. */
export function curvesSection(all: History): Section | undefined {
  const history = {
    ...all,
    epochs: thinEpochs(all.epochs, all.best.epoch),
  };
  const { epochs, losses, validations } = history;
  const skips = all.epochs.length > epochs.length
    ? ` Of ${groupedCount(all.epochs.length, "epoch")}, every ${
      Math.ceil(all.epochs.length / MAX_POINTS)
    }th is drawn.`
    : "";
  if (epochs.length === 0 && losses.length === 0) return undefined;
  const charts: Record<string, ChartSpec> = {};
  const figures = [];
  if (epochs.length > 0) {
    for (const measure of ["loss", "accuracy"] as const) {
      charts[measure] = epochChart(history, measure);
      const title = measure === "loss" ? "Loss" : "Accuracy";
      figures.push(chartFigure({ id: measure, title, summary: describeCurve(all, measure) }));
    }
  }
  if (losses.length + validations.length > 1) {
    charts["losses-within"] = lossChart(history);
    figures.push(chartFigure({
      id: "losses-within",
      title: "Loss within the epochs",
      summary: `${groupedCount(losses.length, "point")} of the training loss, ` +
        `${groupedCount(validations.length, "validation")}.`,
    }));
  }
  if (epochs.length > 0) {
    charts["learning-rate"] = rateChart(epochs);
    const [first, last] = [epochs[0], epochs[epochs.length - 1]];
    figures.push(chartFigure({
      id: "learning-rate",
      title: "Learning rate",
      summary: `From ${first.learningRate} to ${last.learningRate}.`,
    }));
  }
  return {
    id: "curves",
    title: "Curves",
    note:
      "Values appear on hover or with the arrow keys; drag across a chart to enlarge a part, double-click " +
      `to go back.${skips}`,
    body: html`<div class="grid">${figures}</div>`,
    charts,
  };
}

function series(epochs: readonly EpochRecord[], measure: Measure, part: Part) {
  return {
    label: part === "train" ? "training" : "validation",
    values: epochs.map((epoch) => chartValue(epoch[part][measure])),
    colour: part,
    dash: part === "validation",
  };
}

function epochChart({ epochs, best }: History, measure: Measure): ChartSpec {
  const marks = best.epoch > 0
    ? [{
      x: best.epoch,
      label: `best: epoch ${best.epoch}, ${formatPercent(best.accuracy)}`,
      series: 1,
    }]
    : [];
  return {
    kind: "line",
    x: { label: "Epoch", values: epochs.map(({ epoch }) => epoch) },
    y: measure === "loss"
      ? { label: "loss", format: "loss" }
      : { label: "accuracy", format: "percent", max: 1 },
    series: [series(epochs, measure, "train"), series(epochs, measure, "validation")],
    marks,
    sync: "epochs",
  };
}

/** The chart in a sentence, for who can't see it. */
function describeCurve({ epochs }: History, measure: Measure): string {
  const write = measure === "loss" ? formatLoss : formatPercent;
  const [first, last] = [epochs[0], epochs[epochs.length - 1]];
  const way = (part: Part) => `${write(first[part][measure])} to ${write(last[part][measure])}`;
  return `Over ${groupedCount(epochs.length, "epoch")}, training from ${way("train")}, ` +
    `validation from ${way("validation")}.`;
}

function lossChart({ losses, validations }: History): ChartSpec {
  const windows: LossPoint[][] = inWindows(losses, MAX_WINDOWS);
  const values = windows.map((window) => mean(window.map(({ loss }) => loss)));
  const dots = thinLosses(validations);
  const line = {
    label: "training",
    x: windows.map((window) => window[window.length - 1].examples),
    values: values.map(chartValue),
    colour: "train",
    points: false,
  } as const;
  const smooth = values.length >= MIN_SMOOTH
    ? [{ ...line, label: "training, smoothed", values: smoothed(values).map(chartValue) }]
    : [];
  return {
    kind: "line",
    x: { label: "Training images seen", values: [], format: "integer" },
    y: { label: "loss", format: "loss" },
    series: [
      smooth.length > 0 ? { ...line, faint: true } : line,
      ...smooth,
      {
        label: "validation",
        x: dots.map(({ examples }) => examples),
        values: dots.map(({ loss }) => chartValue(loss)),
        colour: "validation",
        pointsOnly: true,
      },
    ],
  };
}

/** An exponential mean over about a fifteenth of the values, without the pull of its beginning. */
function smoothed(values: readonly number[]): number[] {
  const keep = 1 - 2 / (Math.max(8, values.length / 15) + 1);
  let [sum, weight] = [0, 0];
  return values.map((value) => {
    if (Number.isFinite(value)) [sum, weight] = [keep * sum + value, keep * weight + 1];
    return sum / weight;
  });
}

function rateChart(epochs: readonly EpochRecord[]): ChartSpec {
  const rates = epochs.map(({ learningRate }) => learningRate);
  const log = rates.every((rate) => rate > 0) && Math.max(...rates) / Math.min(...rates) > 50;
  return {
    kind: "line",
    x: { label: "Epoch", values: epochs.map(({ epoch }) => epoch) },
    y: {
      label: "at the end of the epoch",
      format: "rate-of-learning",
      ...(log ? { log } : { min: 0 }),
    },
    series: [{ label: "learning rate", values: rates.map(chartValue), colour: 3 }],
    sync: "epochs",
  };
}

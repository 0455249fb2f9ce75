/**
 * The curves of a comparison's variants over each other.
 *
 * @module
 */
import { chartFigure, type ChartSeries, type ChartSpec } from "../../web/chart.ts";
import { html } from "../../web/html.ts";
import { type Comparison, summarizeVariant } from "../comparison.ts";
import type { Section } from "../../report/section.ts";
import { someEpochs } from "../../plots/thin.ts";
import { formatPercent, groupedCount } from "../../base/format.ts";
import { chartValue } from "../../web/chart_values.ts";
import { lookOf } from "./looks.ts";
import { epochsOf, meanAt, type Measure } from "./means.ts";

/** Most variants of a chart: more lines can't be told apart. */
const MAX_VARIANTS = 40;
/** Most lines of a chart with those of single seeds. */
const MAX_LINES = 20;
/** Most points of a chart, all lines together, and of a line. */
const MAX_POINTS = 12_000;
const MAX_LINE_POINTS = 600;

/** The curves; nothing while no run has an epoch. */
export function curvesSection({ variants }: Comparison): Section | undefined {
  const shown = variants.map((variant, index) => ({ ...variant, index })).slice(0, MAX_VARIANTS);
  const longest = epochsOf(variants.flatMap(({ runs }) => runs));
  if (longest === 0) return undefined;
  const lines = shown.reduce((sum, { runs }) => sum + (runs.length > 1 ? runs.length : 0), 0);
  const withSeeds = lines > 0 && lines + shown.length <= MAX_LINES;
  const most = Math.min(
    MAX_LINE_POINTS,
    Math.floor(MAX_POINTS / (shown.length + (withSeeds ? lines : 0))),
  );
  const chart = (label: string, format: "percent" | "loss", measure: Measure): ChartSpec => ({
    kind: "line",
    x: { label: "Training Epochs", values: [], format: "integer" },
    y: { label, format, ...(format === "percent" ? { min: 0, max: 1 } : {}) },
    series: shown.flatMap(({ label, runs, index }): ChartSeries[] => {
      const look = lookOf(index);
      const line = (own: typeof runs, more: Partial<ChartSeries>): ChartSeries => {
        const x = someEpochs(epochsOf(own), most);
        const values = x.map((epoch) => chartValue(meanAt(own, epoch, measure)));
        return { label, x, values, ...look, ...more };
      };
      const seeds = withSeeds && runs.length > 1
        ? runs.map((run) =>
          line([run], { label: `${label}, seed ${run.seed}`, faint: true, points: false })
        )
        : [];
      return [...seeds, line(runs, {})];
    }),
    sync: "epochs",
  });
  const best = shown.map((variant) =>
    `${variant.label}: best ${formatPercent(summarizeVariant(variant).bestAccuracy.mean)}`
  );
  const over = `Over up to ${groupedCount(longest, "epoch")}`;
  const repeated = shown.some(({ runs }) => runs.length > 1);
  return {
    id: "curves",
    title: "Curves",
    note: [
      repeated ? `Means over the seeds${withSeeds ? ", with single runs in pale" : ""}.` : "",
      longest > most
        ? `Of ${groupedCount(longest, "epoch")}, every ${Math.ceil(longest / most)}th is drawn.`
        : "",
      shown.length < variants.length
        ? `Of ${groupedCount(variants.length, "variant")}, the first ${shown.length}.`
        : "",
      "Values appear on hover or with the arrow keys; a click on a name hides its line.",
    ].filter(Boolean).join(" "),
    body: html`<div class="stack">${
      chartFigure({
        id: "accuracy",
        title: "Validation Accuracy vs. Number of Training Epochs",
        summary: `${over}. ${best.join("; ")}.`,
      })
    }<div class="grid">${
      chartFigure({ id: "validation-loss", title: "Validation loss", summary: `${over}.` })
    }${
      chartFigure({ id: "training-loss", title: "Training loss", summary: `${over}.` })
    }</div></div>`,
    charts: {
      accuracy: {
        ...chart("Validation Accuracy", "percent", ({ validation }) => validation.accuracy),
        height: 380,
      },
      "validation-loss": chart("Loss", "loss", ({ validation }) => validation.loss),
      "training-loss": chart("Loss", "loss", ({ train }) => train.loss),
    },
  };
}

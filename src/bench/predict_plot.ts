/**
 * The plot of `bench predict`: the fit beside the measured points, and what it says of more GPUs.
 *
 * @module
 */
import type { TopLevelSpec } from "../deps/vega_lite.ts";
import { type CostFit, costOf, type Prediction } from "./cost_model.ts";
import { SERIES_COLOURS } from "../plots/plot.ts";
import { plotFrame } from "./plots.ts";

/** Points of a curve between its ends. */
const CURVE_POINTS = 40;
const RIGHT_LEGEND = { orient: "right" as const };

/** The plot as a Vega-Lite specification: measured and fitted on the left, efficiency on the right. */
export function predictPlot(
  fit: CostFit,
  predictions: readonly Prediction[],
  assumptions: readonly string[],
): TopLevelSpec {
  return {
    ...plotFrame("All-reduce: fitted, and extrapolated", assumptions),
    resolve: { scale: { color: "independent", shape: "independent" } },
    hconcat: [fitPanel(fit), efficiencyPanel(predictions)],
    spacing: 40,
  };
}

function fitPanel(fit: CostFit) {
  const { fitted, heldOut } = fit;
  const all = [...fitted, ...heldOut];
  const [least, most] = [
    Math.min(...all.map(({ bytes }) => bytes)),
    Math.max(...all.map(({ bytes }) => bytes)),
  ];
  const counts = [...new Set(all.map(({ workers }) => workers))].sort((a, b) => a - b);
  const curves = counts.flatMap((workers) =>
    Array.from({ length: CURVE_POINTS }, (_, index) => {
      const bytes = least * (most / least) ** (index / (CURVE_POINTS - 1));
      return { workers, bytes, milliseconds: costOf(fit, workers, bytes) };
    })
  );
  const x = {
    field: "bytes",
    type: "quantitative" as const,
    title: "bytes of the vector",
    scale: { type: "log" as const, nice: false },
    axis: { grid: false, format: "~s", tickCount: 5 },
  };
  const y = {
    field: "milliseconds",
    type: "quantitative" as const,
    title: "ms",
    scale: { type: "log" as const },
    axis: { format: "~g", tickCount: 5 },
  };
  const color = {
    field: "workers",
    type: "nominal" as const,
    title: "workers (line: fit)",
    scale: { domain: counts, range: SERIES_COLOURS },
    legend: RIGHT_LEGEND,
  };
  return {
    title: { text: "measured and fitted", fontSize: 16, anchor: "start" as const },
    width: 400,
    height: 340,
    layer: [
      {
        data: { values: curves },
        mark: { type: "line" as const, strokeWidth: 1.5 },
        encoding: { x, y, color },
      },
      {
        data: {
          values: [
            ...fitted.map((point) => ({ ...point, part: "fitted" })),
            ...heldOut.map((point) => ({ ...point, part: "held out" })),
          ],
        },
        mark: { type: "point" as const, size: 70, strokeWidth: 2 },
        encoding: {
          x,
          y,
          color,
          shape: {
            field: "part",
            type: "nominal" as const,
            title: "points",
            scale: { domain: ["fitted", "held out"], range: ["circle", "cross"] },
            legend: {
              ...RIGHT_LEGEND,
              symbolType: { expr: "datum.value === 'fitted' ? 'circle' : 'cross'" },
              symbolSize: 90,
              symbolStrokeWidth: 2,
            },
          },
        },
      },
    ],
  };
}

function efficiencyPanel(predictions: readonly Prediction[]) {
  const hosts = [...new Set(predictions.map((prediction) => prediction.hosts))];
  return {
    title: { text: "extrapolated", fontSize: 16, anchor: "start" as const },
    width: 400,
    height: 340,
    data: { values: predictions },
    mark: { type: "line" as const, strokeWidth: 2, point: { filled: true, size: 60 } },
    encoding: {
      x: {
        field: "gpusPerHost",
        type: "quantitative" as const,
        title: "GPUs per host",
        scale: { nice: false, zero: false, padding: 12 },
        axis: {
          grid: false,
          format: "d",
          values: [...new Set(predictions.map(({ gpusPerHost }) => gpusPerHost))],
        },
      },
      y: {
        field: "efficiency",
        type: "quantitative" as const,
        title: "efficiency",
        scale: { domain: [0, 1] },
        axis: { format: ".0%" },
      },
      color: {
        field: "hosts",
        type: "nominal" as const,
        scale: { domain: hosts, range: SERIES_COLOURS },
        legend: RIGHT_LEGEND,
      },
    },
  };
}

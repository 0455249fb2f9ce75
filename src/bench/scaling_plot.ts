/**
 * The plot of `bench scaling`: speed against workers, and where a step's time goes.
 *
 * @module
 */
import type { TopLevelSpec } from "vega-lite";
import { type ModePoint, PARTS, type ScalingMode, type ScalingResult } from "./scaling.ts";
import { plotFrame, SERIES_COLOURS, TOP_LEGEND } from "./plots.ts";

const MODES: readonly ScalingMode[] = ["weak", "strong"];
const IDEAL_COLOUR = "#999999";

/** Names of a step's parts for people. */
const PART_NAMES: Record<(typeof PARTS)[number], string> = {
  data: "data",
  forwardBackward: "forward + backward",
  exchange: "exchange",
  idle: "idle",
  update: "optimizer",
};

/** The plot as a Vega-Lite specification: speeds on top, a panel of bars per mode below. */
export function scalingPlot(result: ScalingResult): TopLevelSpec {
  const { points, model, imageSize, batch, simulateCompute } = result;
  const modes = MODES.filter((mode) => points.some((point) => point.mode === mode));
  const work = simulateCompute === undefined
    ? `${imageSize} px`
    : `a pause of ${simulateCompute} ms instead of computing`;
  return {
    ...plotFrame(`Scaling: ${model}`, [
      `${work}; exchange: ${result.exchange}`,
      `batch ${batch} (weak: per worker; strong: all workers together)`,
    ]),
    resolve: { scale: { color: "independent" } },
    vconcat: [
      speedPanel(points, modes),
      { hconcat: modes.map((mode) => partsPanel(points, mode)), spacing: 40 },
    ],
    spacing: 36,
  };
}

function speedPanel(points: readonly ModePoint[], modes: readonly ScalingMode[]) {
  const values = modes.flatMap((mode) => {
    const own = points.filter((point) => point.mode === mode);
    const perWorker = own[0].imagesPerSecond / own[0].workers;
    return own.flatMap(({ workers, imagesPerSecond }) => [
      { workers, speed: imagesPerSecond, series: mode },
      { workers, speed: perWorker * workers, series: "ideal" },
    ]);
  });
  const counts = [...new Set(points.map(({ workers }) => workers))];
  return {
    width: 800,
    height: 320,
    data: { values },
    mark: { type: "line" as const, strokeWidth: 2, point: { filled: true, size: 60 } },
    encoding: {
      x: {
        field: "workers",
        type: "quantitative" as const,
        title: "workers",
        scale: { zero: false, padding: 12, nice: false },
        axis: { grid: false, values: counts, format: "d" },
      },
      y: { field: "speed", type: "quantitative" as const, title: "images/s" },
      color: {
        field: "series",
        type: "nominal" as const,
        scale: {
          domain: [...modes, "ideal"],
          range: [...SERIES_COLOURS.slice(0, modes.length), IDEAL_COLOUR],
        },
        legend: TOP_LEGEND,
      },
    },
  };
}

function partsPanel(points: readonly ModePoint[], mode: ScalingMode) {
  const values = points.filter((point) => point.mode === mode).flatMap(({ workers, breakdown }) =>
    PARTS.map((part, order) => ({
      workers,
      part: PART_NAMES[part],
      order,
      milliseconds: Math.max(0, breakdown[part]),
    }))
  );
  return {
    title: { text: `${mode} scaling: a step`, fontSize: 16, anchor: "start" as const },
    width: 330,
    height: 280,
    data: { values },
    mark: { type: "bar" as const },
    encoding: {
      x: {
        field: "workers",
        type: "ordinal" as const,
        title: "workers",
        axis: { labelAngle: 0 },
      },
      y: { field: "milliseconds", type: "quantitative" as const, title: "ms per step" },
      order: { field: "order", type: "quantitative" as const },
      color: {
        field: "part",
        type: "nominal" as const,
        scale: { domain: Object.values(PART_NAMES), range: SERIES_COLOURS },
        legend: {
          title: null,
          symbolType: "square" as const,
          symbolStrokeWidth: 0,
          symbolSize: 160,
        },
      },
    },
  };
}

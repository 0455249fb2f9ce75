/**
 * The plot of `bench scaling`: speed and efficiency against workers, and where a step's time goes.
 *
 * @module
 */
import type { TopLevelSpec } from "../deps/vega_lite.ts";
import { BREAKDOWN_PARTS, type BreakdownPart } from "../base/step_times.ts";
import type { ModePoint, ScalingMode, ScalingResult } from "./scaling.ts";
import { plotFrame, TOP_LEGEND } from "./plots.ts";

/** A mode's look. Its shape tells it apart without colours. */
const MODES: Readonly<Record<ScalingMode, { colour: string; shape: string }>> = {
  weak: { colour: "#d55e00", shape: "circle" },
  strong: { colour: "#000000", shape: "square" },
};

/**
 * Names and colours of a step's parts, from the bottom of a bar to its top. They are those of the report's pages (Okabe
 * and Ito, 2008), and none is a mode's. Neighbours differ in lightness.
 */
const PART_LOOKS: Readonly<Record<BreakdownPart, { name: string; colour: string }>> = {
  data: { name: "data", colour: "#e69f00" },
  forwardBackward: { name: "forward + backward", colour: "#0072b2" },
  exchange: { name: "exchange", colour: "#5cc7a6" },
  idle: { name: "idle", colour: "#8a94a0" },
  update: { name: "optimizer", colour: "#dd9bc0" },
};

/** From this ratio of worker counts on, those of a linear axis would stand on each other. */
const CROWDED = 8;
/** Of lines that nobody measured. */
const LINEAR_COLOUR = "#555555";

/** Size of the whole: two panels and the room between them. */
const WIDTH = 860;
const GAP = 80;
const HALF = (WIDTH - GAP) / 2;

/** The plot as a Vega-Lite specification: two panels of lines on top, the bars of each mode below. */
export function scalingPlot(result: ScalingResult): TopLevelSpec {
  const { points, model, imageSize, batch, simulateCompute } = result;
  const modes = (Object.keys(MODES) as ScalingMode[])
    .filter((mode) => points.some((point) => point.mode === mode));
  const work = simulateCompute === undefined
    ? `${imageSize} px`
    : `a pause of ${simulateCompute} ms instead of computing`;
  const barWidth = modes.length === 1 ? WIDTH : HALF;
  return {
    ...plotFrame(`Scaling: ${model}`, [
      `${work}; exchange: ${result.exchange}`,
      `batch ${batch} (weak: per worker; strong: all workers together)`,
    ]),
    vconcat: [
      {
        hconcat: [
          linesPanel("Speed", "images/s", speedsOf(points, modes), modes),
          linesPanel("Efficiency", "share of linear scaling", efficienciesOf(points, modes), modes),
        ],
        spacing: GAP,
      },
      {
        hconcat: modes.map((mode) => partsPanel(points, mode, barWidth)),
        spacing: GAP,
        // The heights of both modes are those of the same milliseconds.
        resolve: { scale: { y: "shared" as const } },
      },
    ],
    resolve: {
      scale: { color: "independent", shape: "independent", strokeDash: "independent" },
    },
    spacing: 36,
  };
}

/** A value of a line. */
interface LinePoint {
  readonly workers: number;
  readonly value: number;
  readonly mode: ScalingMode;
  readonly kind: "measured" | "linear scaling";
}

function speedsOf(points: readonly ModePoint[], modes: readonly ScalingMode[]): LinePoint[] {
  return modes.flatMap((mode) => {
    const own = points.filter((point) => point.mode === mode);
    const perWorker = own[0].imagesPerSecond / own[0].workers;
    return own.flatMap(({ workers, imagesPerSecond }): LinePoint[] => [
      { workers, value: imagesPerSecond, mode, kind: "measured" },
      { workers, value: perWorker * workers, mode, kind: "linear scaling" },
    ]);
  });
}

function efficienciesOf(points: readonly ModePoint[], modes: readonly ScalingMode[]): LinePoint[] {
  return points.filter(({ mode }) => modes.includes(mode)).flatMap((
    { workers, efficiency, mode },
  ): LinePoint[] => [
    { workers, value: efficiency, mode, kind: "measured" },
    { workers, value: 1, mode, kind: "linear scaling" },
  ]);
}

function linesPanel(
  title: string,
  unit: string,
  values: readonly LinePoint[],
  modes: readonly ScalingMode[],
) {
  const counts = [...new Set(values.map(({ workers }) => workers))];
  const crowded = Math.max(...counts) > CROWDED * Math.min(...counts);
  const x = {
    field: "workers",
    type: "quantitative" as const,
    title: "workers",
    scale: crowded
      ? { type: "log" as const, base: 2, padding: 12, nice: false }
      : { zero: false, padding: 12, nice: false },
    axis: { grid: false, values: counts, format: "d" },
  };
  const y = {
    field: "value",
    type: "quantitative" as const,
    title: unit,
    scale: { zero: true },
    axis: { tickCount: 6 },
  };
  const looks = modes.map((mode) => MODES[mode]);
  const strokeDash = {
    field: "kind",
    type: "nominal" as const,
    scale: { domain: ["measured", "linear scaling"], range: [[1, 0], [5, 5]] },
    legend: TOP_LEGEND,
  };
  const color = {
    field: "mode",
    type: "nominal" as const,
    scale: { domain: [...modes], range: looks.map(({ colour }) => colour) },
    legend: TOP_LEGEND,
  };
  return {
    title: panelTitle(title),
    width: HALF,
    height: 280,
    data: { values: [...values] },
    layer: [
      {
        transform: [{ filter: "datum.kind !== 'measured'" }],
        mark: { type: "line" as const, strokeWidth: 1.5, color: LINEAR_COLOUR },
        encoding: { x, y, strokeDash, detail: { field: "mode" } },
      },
      {
        transform: [{ filter: "datum.kind === 'measured'" }],
        mark: { type: "line" as const, strokeWidth: 2 },
        encoding: { x, y, color, strokeDash },
      },
      {
        transform: [{ filter: "datum.kind === 'measured'" }],
        mark: { type: "point" as const, filled: true, size: 90, opacity: 1 },
        encoding: {
          x,
          y,
          color,
          shape: {
            field: "mode",
            type: "nominal" as const,
            scale: { domain: [...modes], range: looks.map(({ shape }) => shape) },
            legend: TOP_LEGEND,
          },
        },
      },
    ],
  };
}

function partsPanel(points: readonly ModePoint[], mode: ScalingMode, width: number) {
  const values = points.filter((point) => point.mode === mode).flatMap(({ workers, breakdown }) =>
    BREAKDOWN_PARTS.map((part, order) => ({
      workers,
      part: PART_LOOKS[part].name,
      order,
      milliseconds: Math.max(0, breakdown[part]),
    }))
  );
  const looks = BREAKDOWN_PARTS.map((part) => PART_LOOKS[part]);
  return {
    title: panelTitle(`A step, ${mode} scaling`),
    width,
    height: 280,
    data: { values },
    mark: { type: "bar" as const },
    encoding: {
      x: {
        field: "workers",
        type: "ordinal" as const,
        title: "workers",
        axis: { labelAngle: 0 },
        scale: { paddingInner: 0.3, paddingOuter: 0.3 },
      },
      y: {
        field: "milliseconds",
        type: "quantitative" as const,
        title: "ms per step",
        axis: { tickCount: 6 },
      },
      order: { field: "order", type: "quantitative" as const },
      color: {
        field: "part",
        type: "nominal" as const,
        scale: {
          domain: looks.map(({ name }) => name),
          range: looks.map(({ colour }) => colour),
        },
        legend: {
          ...TOP_LEGEND,
          symbolType: "square" as const,
          symbolStrokeWidth: 0,
          symbolSize: 160,
        },
      },
    },
  };
}

function panelTitle(text: string) {
  return { text, fontSize: 16, anchor: "start" as const, offset: 8 };
}

/**
 * The user's own metrics per epoch, as a panel of `curves.svg`.
 *
 * @module
 */
import type { EpochRecord } from "../records/history.ts";

/** Colours that the colour-blind can tell apart (Okabe and Ito, 2008), other than those of loss and accuracy. */
const METRIC_COLOURS = ["#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];
/** Dashes that set metrics apart when there are more of them than colours. */
const DASHES = [[1, 0], [8, 4], [2, 3]];
/** Names in a row of the legend. */
const LEGEND_COLUMNS = 3;

/**
 * A panel with a line for each metric.
 *
 * @param x Encoding of the axis of epochs, over the field `epoch`
 * @param points `true` marks each epoch
 * @returns Nothing when there are no metrics
 */
export function metricsPanels<X extends object>(
  epochs: readonly EpochRecord[],
  size: { width: number; height: number },
  x: X,
  points: boolean,
) {
  const names = Object.keys(epochs.at(-1)?.metrics ?? {});
  if (names.length === 0) return [];
  const rows = epochs.flatMap(({ epoch, metrics = {} }) =>
    Object.entries(metrics).map(([metric, value]) => ({
      epoch,
      metric,
      value: Number.isFinite(value) ? value : null, // a gap in the line
    }))
  );
  const colours = names.map((_, index) => METRIC_COLOURS[index % METRIC_COLOURS.length]);
  const dashes = names.map((_, index) =>
    DASHES[Math.floor(index / METRIC_COLOURS.length) % DASHES.length]
  );
  const legend = {
    orient: "top" as const,
    direction: "horizontal" as const,
    columns: LEGEND_COLUMNS,
    title: null,
  };
  return [{
    ...size,
    data: { values: rows },
    mark: {
      type: "line" as const,
      strokeWidth: 2.5,
      point: points ? { size: 50 } : false,
    },
    encoding: {
      x,
      y: {
        field: "value",
        type: "quantitative" as const,
        title: "metrics",
        scale: { zero: false, nice: true },
        axis: { tickCount: 6 },
      },
      color: {
        field: "metric",
        type: "nominal" as const,
        scale: { domain: names, range: colours },
        legend,
      },
      strokeDash: {
        field: "metric",
        type: "nominal" as const,
        scale: { domain: names, range: dashes },
        legend,
      },
    },
  }];
}

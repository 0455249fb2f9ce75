/**
 * Pieces that the plots of the benchmarks share.
 *
 * @module
 */
import { PLOT_CONFIG } from "../plots/plot.ts";

/** Colours that colour-blind people can tell apart (Okabe and Ito, 2008). */
export const SERIES_COLOURS = [
  "#0072b2",
  "#d55e00",
  "#009e73",
  "#cc79a7",
  "#e69f00",
  "#56b4e9",
  "#000000",
];

/**
 * Frame of a plot: title above, white ground.
 *
 * @param subtitle Short lines: long ones widen the picture
 */
export function plotFrame(title: string, subtitle: readonly string[]) {
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    background: "white",
    padding: 16,
    title: {
      text: title,
      subtitle: [...subtitle],
      anchor: "start" as const,
      offset: 14,
      fontSize: 20,
      subtitleFontSize: 14,
      subtitlePadding: 6,
    },
    config: PLOT_CONFIG,
  };
}

/** A legend above the plot, in one row. */
export const TOP_LEGEND = {
  orient: "top" as const,
  direction: "horizontal" as const,
  title: null,
};

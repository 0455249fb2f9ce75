/**
 * Pieces that the plots of the benchmarks share.
 *
 * @module
 */
import { PLOT_CONFIG } from "../plots/plot.ts";

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

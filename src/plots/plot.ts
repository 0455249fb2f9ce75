/**
 * Draws Vega-Lite specifications as SVG and PNG.
 *
 * @module
 */
import { join } from "node:path";
import type { TopLevelSpec } from "../deps/vega_lite.ts";
import { writeFileAtomically } from "../base/paths.ts";
import { FONT_FAMILY, FONT_FILES } from "./font.ts";

/** Pixels of a PNG per unit of the plot: sharp on a dense screen. */
export const PNG_ZOOM = 2;

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

/** Two colours that colour-blind people can tell apart (Okabe and Ito, 2008), and a quiet one. */
export const COLOURS = { train: "#0072b2", validation: "#d55e00", quiet: "#555555" };

/** The settings that all plots have in common. */
export const PLOT_CONFIG = {
  font: `${FONT_FAMILY}, Verdana, sans-serif`,
  view: { stroke: "#cccccc" },
  axis: {
    labelFontSize: 14,
    titleFontSize: 15,
    titleFontWeight: "normal" as const,
    titlePadding: 10,
    gridColor: "#e6e6e6",
    domainColor: "#999999",
    tickColor: "#999999",
  },
  legend: {
    labelFontSize: 15,
    symbolType: "stroke" as const,
    symbolSize: 300,
    symbolStrokeWidth: 4,
    labelLimit: 0,
  },
};

/** Writes `<name>.svg` and `<name>.png`, each replaced as a whole. */
export async function writePlot(folder: string, name: string, spec: TopLevelSpec): Promise<void> {
  const svg = await specAsSvg(spec);
  const { renderSvg } = await import("./svg_picture.ts");
  const png = renderSvg(svg, FONT_FILES, PNG_ZOOM).render().asPng();
  await writeFileAtomically(join(folder, `${name}.svg`), svg);
  await writeFileAtomically(join(folder, `${name}.png`), png);
}

/** A plot as an SVG document; the drawing library is loaded at the first call. */
export async function specAsSvg(specification: TopLevelSpec): Promise<string> {
  const [vega, vegaLite] = await Promise.all([
    import("../deps/vega.ts"),
    import("../deps/vega_lite.ts"),
  ]);
  const { spec } = vegaLite.compile(specification);
  const view = new vega.View(vega.parse(spec), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/**
 * SVG to pixels, with the packaged font only.
 *
 * @module
 */
import { Resvg, type ResvgRenderOptions } from "../deps/resvg.ts";
import { FONT_FAMILY, type FontFiles } from "./font.ts";

/** Draws an SVG; `zoom` pixels for each of its units. */
export function renderSvg(svg: string, fonts: FontFiles, zoom = 1): Resvg {
  const options: ResvgRenderOptions = {
    font: {
      fontFiles: [fonts.regular, fonts.bold],
      loadSystemFonts: false,
      defaultFontFamily: FONT_FAMILY,
      sansSerifFamily: FONT_FAMILY,
    },
    fitTo: { mode: "zoom", value: zoom },
  };
  return new Resvg(svg, options);
}

/** Text made safe inside SVG: markup is escaped, and characters that XML has no way to write are dropped. */
export function escapeXml(text: string): string {
  const escapes: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return drawable(text).replace(/[&<>"]/g, (character) => escapes[character]);
}

/** Text without the characters that XML has no way to write, for those who escape markup by themselves. */
export function drawable(text: string): string {
  // deno-lint-ignore no-control-regex -- control characters are what is removed
  return text.replace(/[\x00-\x1f\x7f\ufffe\uffff]/g, " ").toWellFormed();
}

/** Width of the text's ink in pixels, from where the text begins. */
export function textWidth(
  text: string,
  size: number,
  fonts: FontFiles,
  weight: "bold" | "normal" = "normal",
): number {
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"><text font-family="${FONT_FAMILY}" ` +
    `font-size="${size}" font-weight="${weight}">${escapeXml(text)}</text></svg>`;
  const box = renderSvg(svg, fonts).getBBox();
  return box ? box.x + box.width : 0;
}

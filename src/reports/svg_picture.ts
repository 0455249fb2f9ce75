/**
 * SVG to pixels, with the packaged font only.
 *
 * @module
 */
import { Resvg, type ResvgRenderOptions } from "@resvg/resvg-js";
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
  return text.replace(/[&<>"]/g, (character) => escapes[character])
    // deno-lint-ignore no-control-regex -- control characters are what is removed
    .replace(/[\x00-\x1f\x7f\ufffe\uffff]/g, " ").toWellFormed();
}

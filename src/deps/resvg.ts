/**
 * SVG to pixels: resvg.
 *
 * @module
 */
export { Resvg, type ResvgRenderOptions } from "npm:@resvg/resvg-js@2.6.2";

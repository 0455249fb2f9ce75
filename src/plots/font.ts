/**
 * The typeface of pictures: DejaVu Sans from npm, since a server may have no fonts at all, and since the
 * same pictures should come out on every machine.
 *
 * @module
 */
import { DEJAVU_SANS } from "../deps/dejavu.ts";

/** Family name of the fonts below, with what a browser without it takes for the SVG. */
export const FONT_FAMILY = "DejaVu Sans";

/** TrueType files on this machine. */
export interface FontFiles {
  readonly regular: string;
  readonly bold: string;
}

/** The font files, fetched by Deno as a part of the program's dependencies. */
export const FONT_FILES: FontFiles = DEJAVU_SANS;

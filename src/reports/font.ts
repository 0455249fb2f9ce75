/**
 * The typeface of pictures: DejaVu Sans from npm, since a server may have no fonts at all, and since the
 * same pictures should come out on every machine.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

/** Family name of the fonts below, with what a browser without it takes for the SVG. */
export const FONT_FAMILY = "DejaVu Sans";

/** TrueType files on this machine. */
export interface FontFiles {
  regular: string;
  bold: string;
}

/** The font files, fetched by Deno as a part of the program's dependencies. */
export async function fontFiles(): Promise<FontFiles> {
  // A package's folder is only known to Deno once something of it was imported.
  await import("dejavu-fonts-ttf/package.json", { with: { type: "json" } });
  return {
    regular: fileURLToPath(import.meta.resolve("dejavu-fonts-ttf/ttf/DejaVuSans.ttf")),
    bold: fileURLToPath(import.meta.resolve("dejavu-fonts-ttf/ttf/DejaVuSans-Bold.ttf")),
  };
}

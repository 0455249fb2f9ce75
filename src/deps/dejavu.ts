/**
 * The DejaVu typeface, as files of its npm package.
 *
 * @module
 */
import "npm:/dejavu-fonts-ttf@2.37.3/package.json" with { type: "json" };
import { fileURLToPath } from "node:url";

/** Paths of TrueType files; a package's folder is only known to Deno once something of it was imported. */
export const DEJAVU_SANS = {
  regular: fileURLToPath(import.meta.resolve("npm:/dejavu-fonts-ttf@2.37.3/ttf/DejaVuSans.ttf")),
  bold: fileURLToPath(import.meta.resolve("npm:/dejavu-fonts-ttf@2.37.3/ttf/DejaVuSans-Bold.ttf")),
} as const;

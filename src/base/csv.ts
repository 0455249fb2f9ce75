/**
 * Cells and lines of CSV (RFC 4180) that a spreadsheet or terminal may be given, whatever names are in them.
 *
 * @module
 */
import Papa from "../deps/papaparse.ts";
import { visible } from "./visible_text.ts";

/** A cell: text is a name from outside, numbers are written as they are. */
export type CsvCell = string | number | null | undefined;

/** The beginning of a formula in a spreadsheet, behind any number of apostrophes; numbers don't match. */
const FORMULA =
  /^'*(?![+-](?:\d+(?:\.\d*)?(?:e[+-]?\d+)?|Infinity)$)[=+\-@\uff0b\uff0d\uff1d\uff20]/;

/** Escapes that {@linkcode textCell} writes for invisible characters, and for backslashes beside them. */
const ESCAPE = /\\(?:(\\)|([nrt])|x([\da-f]{2})|u([\da-f]{4})|u\{([\da-f]{5,6})\})/g;

const SHORT: Record<string, string> = { n: "\n", r: "\r", t: "\t" };

/**
 * A text as a cell. Characters that don't show become escapes such as `\x1b`, and an apostrophe goes before what a
 * spreadsheet would take for a formula (OWASP, "CSV Injection"). {@linkcode readTextCell} gives the text back.
 */
export function textCell(text: string): string {
  const isPlain = visible(text) === text && text.replace(ESCAPE, "") === text;
  const shown = isPlain ? text : visible(text.replaceAll("\\", "\\\\"));
  return FORMULA.test(shown) ? `'${shown}` : shown;
}

/**
 * The text that {@linkcode textCell} made a cell of; files of older versions, which hold the bare text, mostly read
 * as before.
 */
export function readTextCell(cell: string): string {
  const shown = cell.startsWith("'") && FORMULA.test(cell) ? cell.slice(1) : cell;
  return shown.replace(ESCAPE, (_, backslash, short, byte, unit, point) => {
    if (backslash) return "\\";
    if (short) return SHORT[short];
    return String.fromCodePoint(parseInt(byte ?? unit ?? point, 16));
  });
}

/** Lines of CSV without a line break at the end; text cells are made by {@linkcode textCell}. */
export function csvText(rows: readonly (readonly CsvCell[])[], newline = "\r\n"): string {
  const cells = rows.map((row) =>
    row.map((cell) => typeof cell === "string" ? textCell(cell) : cell)
  );
  return Papa.unparse(cells, { newline });
}

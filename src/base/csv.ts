/**
 * Cells and lines of CSV (RFC 4180) that are safe for spreadsheets and terminals, whatever names they contain.
 *
 * @module
 */
import Papa from "../deps/papaparse.ts";
import { visible } from "./visible_text.ts";

/** A cell: text is an untrusted name and gets escaped, numbers are written unchanged. */
export type CsvCell = string | number | null | undefined;

/** The beginning of a formula in a spreadsheet, after any number of apostrophes; numbers don't match. */
const FORMULA =
  /^'*(?![+-](?:\d+(?:\.\d*)?(?:e[+-]?\d+)?|Infinity)$)[=+\-@\uff0b\uff0d\uff1d\uff20]/;

/** Escapes that {@linkcode textCell} writes for invisible characters, and for backslashes beside them. */
const ESCAPE = /\\(?:(\\)|([nrt])|x([\da-f]{2})|u([\da-f]{4})|u\{([\da-f]{5,6})\})/g;

const MAX_CODE_POINT = 0x10ffff;

const SHORT: Record<string, string> = { n: "\n", r: "\r", t: "\t" };

/**
 * Returns a text as a cell. Invisible characters become escapes such as `\x1b`, and text that a spreadsheet would
 * read as a formula gets an apostrophe in front (OWASP, "CSV Injection"). {@linkcode readTextCell} restores the
 * text.
 */
export function textCell(text: string): string {
  const isPlain = visible(text) === text && text.replace(ESCAPE, "") === text;
  const shown = isPlain ? text : visible(text.replaceAll("\\", "\\\\"));
  return FORMULA.test(shown) ? `'${shown}` : shown;
}

/**
 * Restores the text of a cell made by {@linkcode textCell}. Cells of older versions, which hold the text without
 * escapes, read mostly unchanged.
 */
export function readTextCell(cell: string): string {
  const shown = cell.startsWith("'") && FORMULA.test(cell) ? cell.slice(1) : cell;
  return shown.replace(ESCAPE, (escape, backslash, short, byte, unit, point) => {
    if (backslash) return "\\";
    if (short) return SHORT[short];
    const code = parseInt(byte ?? unit ?? point, 16);
    return code <= MAX_CODE_POINT ? String.fromCodePoint(code) : escape;
  });
}

/** Lines of CSV without a final line break; use {@linkcode textCell} for text cells. */
export function csvText(rows: readonly (readonly CsvCell[])[], newline = "\r\n"): string {
  const cells = rows.map((row) =>
    row.map((cell) => typeof cell === "string" ? textCell(cell) : cell)
  );
  return Papa.unparse(cells, { newline });
}

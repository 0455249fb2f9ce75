/**
 * Plain tables that fit the width of a terminal, and text that is wrapped to it.
 *
 * Every character counts as one column wide: names and numbers, not text of any script.
 *
 * @module
 */
import { truncateMiddle } from "../base/format.ts";

/** A column of a table. */
export interface Column {
  readonly title: string;
  /** The side that the column's cells are aligned to; default: left. */
  readonly align?: "left" | "right";
  /** Order in which columns give way where room is short: the greatest first; a column without a number stays. */
  readonly givesWay?: number;
  /** Characters that its cells may be cut to before it is left out. */
  readonly leastWidth?: number;
}

/** A table that fits. */
export interface FittedTable {
  /** Title line and rows. */
  readonly lines: string[];
  /** Titles of columns that there was no room for. */
  readonly leftOut: string[];
}

const GAP = "  ";

/**
 * Lays out a table. Where it is wider than `width`, columns give way in their order: each has its cells cut in the
 * middle as far as it allows, and is left out when that isn't enough.
 *
 * @param rows A cell for each column
 * @param width Characters per line
 */
export function fitTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number,
): FittedTable {
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...rows.map((row) => row[index].length))
  );
  const kept = new Set(columns.keys());
  const excess = () =>
    [...kept].reduce((sum, index) => sum + widths[index] + GAP.length, -GAP.length) - width;
  const yielding = [...columns.entries()]
    .filter(([, { givesWay }]) => givesWay !== undefined)
    .sort(([, a], [, b]) => b.givesWay! - a.givesWay!);
  for (const [index, { leastWidth = Infinity }] of yielding) {
    const over = excess();
    if (over <= 0) break;
    if (widths[index] - over >= leastWidth) widths[index] -= over;
    else kept.delete(index);
  }
  const line = (cells: readonly string[]) =>
    [...kept].map((index) =>
      pad(truncateMiddle(cells[index], widths[index]), widths[index], columns[index])
    )
      .join(GAP).trimEnd();
  return {
    lines: [line(columns.map(({ title }) => title)), ...rows.map(line)],
    leftOut: columns.filter((_, index) => !kept.has(index)).map(({ title }) => title),
  };
}

function pad(text: string, width: number, { align }: Column): string {
  return align === "right" ? text.padStart(width) : text.padEnd(width);
}

/** Breaks text between words into lines of at most `width` characters; a longer word has a line of its own. */
export function wrapText(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else lines.push(word);
  }
  return lines;
}

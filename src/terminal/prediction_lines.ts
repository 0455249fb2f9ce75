/**
 * Predictions as text, an image at a time: a table, JSON lines or CSV.
 *
 * @module
 */
import { csvText } from "../base/csv.ts";
import { visible, visibleJson } from "../base/visible_text.ts";
import { formatPercent, truncateMiddle } from "../base/format.ts";

/** An image's classes, the most probable one first. */
export interface RankedImage {
  readonly path: string;
  readonly predictions: readonly { readonly class: string; readonly probability: number }[];
  /** Image that explains the first class. */
  readonly explanation?: string;
}

/** An image that couldn't be read. */
export interface UnreadImage {
  readonly path: string;
  readonly error: string;
}

/** The format of written predictions. */
export type PredictionFormat = "table" | "json" | "csv";

/** The facts that are known before the first prediction. */
export interface PredictionFacts {
  readonly paths: readonly string[];
  readonly classes: readonly string[];
  /** Classes per image. */
  readonly top: number;
  /** Characters per line of a table. */
  readonly width: number;
}

/** Writes predictions line by line. */
export interface PredictionLines {
  /** Lines before the first one. */
  readonly head: readonly string[];
  /** Lines of an image. */
  of(image: RankedImage): string[];
  /** Lines of an image that couldn't be read; where there are none, only the warning says so. */
  ofUnread(image: UnreadImage): string[];
}

/** The lines of a format. */
export function predictionLines(format: PredictionFormat, facts: PredictionFacts): PredictionLines {
  switch (format) {
    case "json":
      return {
        head: [],
        of: (image) => [visibleJson(image)],
        ofUnread: (image) => [visibleJson(image)],
      };
    case "csv":
      return csvLines(facts);
    case "table":
      return tableLines(facts);
  }
}

const DIGITS = 6;

function csvLines({ top }: PredictionFacts): PredictionLines {
  const line = (cells: readonly string[]) => csvText([cells]) + "\r";
  const ranks = Array.from({ length: top - 1 }, (_, index) => index + 2);
  const more = ranks.flatMap((rank) => [`class_${rank}`, `probability_${rank}`]);
  return {
    head: [line(["path", "predicted_class", "probability", ...more])],
    of: ({ path, predictions }) => {
      const cells = predictions.flatMap((entry) => [
        entry.class,
        entry.probability.toFixed(DIGITS),
      ]);
      return [line([path, ...cells])];
    },
    ofUnread: () => [],
  };
}

/** Columns of the table, in characters. */
const PATH = { least: 8, share: 0.4 };
const CLASS = { least: 5, most: 32 };
const GAP = "  ";
const PERCENT = "100.0%".length;

function tableLines({ paths, classes, top, width }: PredictionFacts): PredictionLines {
  const longest = (names: readonly string[]) =>
    names.reduce((most, name) => Math.max(most, visible(name).length), 0);
  const most = Number.isFinite(width) ? Math.floor(PATH.share * width) : Infinity;
  const pathWidth = Math.max(PATH.least, Math.min(longest(paths), most));
  const classWidth = Math.max(CLASS.least, Math.min(longest(classes), CLASS.most));
  const row = (path: string, name: string, share: string, others: string) => {
    const line = [
      truncateMiddle(path, pathWidth).padEnd(pathWidth),
      truncateMiddle(name, classWidth).padEnd(classWidth),
      share.padStart(PERCENT),
      others,
    ].join(GAP).trimEnd();
    return line.length <= width ? line : `${line.slice(0, width - 1)}…`;
  };
  return {
    head: [row("image", "class", "", top > 1 ? "then" : "")],
    of: ({ path, predictions: [first, ...others] }) => {
      const rest = others.map((entry) =>
        `${visible(entry.class)} ${formatPercent(entry.probability)}`
      );
      const [name, percent] = [visible(first.class), formatPercent(first.probability)];
      return [row(visible(path), name, percent, rest.join(", "))];
    },
    ofUnread: () => [],
  };
}

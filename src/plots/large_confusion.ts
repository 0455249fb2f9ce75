/**
 * The confusion matrix of many classes as a picture: a bitmap, and the most frequent confusions as a table.
 *
 * @module
 */
import { type ConfusionCounts, worstConfusions } from "../metrics/confusion.ts";
import { drawConfusionBitmap } from "./confusion_bitmap.ts";
import type { ConfusionFacts } from "./confusion_facts.ts";
import { evaluationTitle } from "./evaluation_title.ts";
import { FONT_FAMILY } from "./font.ts";
import { COLOURS } from "./plot.ts";
import { escapeXml } from "./svg_picture.ts";
import { formatPercent, formatScore, truncateMiddle } from "../base/format.ts";

const MARGIN = 20;
const LINE = 22;
const NAME_LENGTH = 34;
/** Rows of the table. */
const MAX_PAIRS = 20;
const LEFT = MARGIN + 30;
const TOP = MARGIN + 117;
/** Width of the table. */
const TABLE = 720;
/** Columns of the table, from the bitmap's left edge: class names of 34 characters and two numbers. */
const COLUMNS = { predicted: 300, count: 660, share: TABLE };

/** The picture as an SVG document, whose size does not depend on the number of classes. */
export async function largeConfusionAsSvg(
  facts: ConfusionFacts,
  confusion: ConfusionCounts,
): Promise<string> {
  const { classes, accuracy, count } = facts;
  const { title, detail } = evaluationTitle(facts);
  const { side, png } = await drawConfusionBitmap(confusion);
  const { pairs, total } = worstConfusions(confusion, MAX_PAIRS);
  const width = LEFT + Math.max(side, TABLE) + MARGIN;
  const table = TOP + side + 2 * LINE;
  const rows = pairs.map(({ label, predicted, count, share }) => [
    truncateMiddle(classes[label], NAME_LENGTH),
    truncateMiddle(classes[predicted], NAME_LENGTH),
    String(count),
    formatPercent(share),
  ]);
  const more = total - pairs.length;
  const height = table + (rows.length + 3) * LINE + MARGIN;
  const share = formatScore(accuracy, "unknown");
  const parts = [
    `<rect width="${width}" height="${height}" fill="white"/>`,
    text(title, MARGIN, MARGIN + 17, 20, 'font-weight="bold"'),
    text(detail, MARGIN, MARGIN + 44, 14, `fill="${COLOURS.quiet}"`),
    text(
      `accuracy ${share} of ${count} images in ${classes.length} classes; a dot's colour is its share of the row`,
      MARGIN,
      MARGIN + 65,
      14,
      `fill="${COLOURS.quiet}"`,
    ),
    text("predicted class, in the order of the names", LEFT, TOP - 10, 15),
    text(
      "true class",
      MARGIN + 13,
      TOP + side / 2,
      15,
      `text-anchor="middle" transform="rotate(-90 ${MARGIN + 13} ${TOP + side / 2})"`,
    ),
    `<image x="${LEFT}" y="${TOP}" width="${side}" height="${side}" image-rendering="optimizeSpeed" ` +
    `href="data:image/png;base64,${png.toBase64()}"/>`,
    `<rect x="${LEFT}" y="${TOP}" width="${side}" height="${side}" fill="none" stroke="#999999"/>`,
    text("Most frequent confusions", LEFT, table, 16, 'font-weight="bold"'),
    ...tableRow(["true", "taken for", "images", "of the class"], table + LINE, COLOURS.quiet),
    ...rows.flatMap((row, index) => tableRow(row, table + (index + 2) * LINE)),
    text(
      total === 0 ? "None" : more > 0 ? `and ${more} more` : "",
      LEFT,
      table + (rows.length + 2) * LINE,
      13,
      `fill="${COLOURS.quiet}"`,
    ),
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" ` +
    `viewBox="0 0 ${width} ${height}" font-family="${FONT_FAMILY}, Verdana, sans-serif">${
      parts.join("")
    }</svg>`;
}

function tableRow(
  [label, predicted, count, share]: readonly string[],
  y: number,
  colour = "#222222",
): string[] {
  const end = `text-anchor="end" fill="${colour}"`;
  return [
    text(label, LEFT, y, 13, `fill="${colour}"`),
    text(predicted, LEFT + COLUMNS.predicted, y, 13, `fill="${colour}"`),
    text(count, LEFT + COLUMNS.count - 30, y, 13, end),
    text(share, LEFT + COLUMNS.share, y, 13, end),
  ];
}

function text(content: string, x: number, y: number, size: number, more = ""): string {
  return `<text x="${x}" y="${y}" font-size="${size}" ${more}>${escapeXml(content)}</text>`;
}

/**
 * The confusion matrix of an evaluation, as `confusion.svg` and `confusion.png`.
 *
 * Drawn without Vega, which can only guess at the width of names, and such a picture consists mostly of names.
 *
 * @module
 */
import { join } from "node:path";
import { writeFileAtomically } from "../base/paths.ts";
import { confusionOf, denseConfusion } from "../metrics/confusion.ts";
import { MAX_CELL_CLASSES, shadeOf } from "./confusion_bitmap.ts";
import type { ConfusionFacts } from "./confusion_facts.ts";
import { evaluationTitle } from "./evaluation_title.ts";
import { FONT_FAMILY, FONT_FILES, type FontFiles } from "./font.ts";
import { largeConfusionAsSvg } from "./large_confusion.ts";
import { COLOURS, PNG_ZOOM } from "./plot.ts";
import { escapeXml, renderSvg, textWidth } from "./svg_picture.ts";
import { truncateMiddle } from "../base/format.ts";

/** Side of a cell in pixels, size of its texts and of the classes' names, by the number of classes. */
const SIZES = [
  { most: 6, cell: 88, text: 18, name: 15 },
  { most: 12, cell: 64, text: 15, name: 14 },
  { most: 25, cell: 46, text: 12, name: 13 },
  { most: 50, cell: 36, text: 10, name: 12 },
  { most: MAX_CELL_CLASSES, cell: 30, text: 8.5, name: 11 },
];
const MARGIN = 20;
const TITLE = { size: 20, room: 30 };
const SUBTITLE = { size: 14, line: 20, room: 50 };
const AXIS = { size: 15, room: 28 };
/** Between a name and the matrix. */
const GAP = 8;
/** Longest class name, in characters. */
const NAME_LENGTH = 28;
/** Angle of names that don't fit above their columns. */
const SLANT = 55;
const INK = "#222222";
/** The share from which on white text has the better contrast. */
const DARK = 0.5;

/**
 * Draws the matrix: each cell's count and its share of the row, which is its colour too; of more than 60 classes a
 * bitmap, with the most frequent confusions as a table.
 *
 * @param folder The evaluation's folder
 */
export async function writeConfusionPlot(folder: string, record: ConfusionFacts): Promise<void> {
  const fonts = FONT_FILES;
  const svg = await confusionAsSvg(record, fonts);
  const png = renderSvg(svg, fonts, zoomOf(record)).render().asPng();
  await writeFileAtomically(join(folder, "confusion.svg"), svg);
  await writeFileAtomically(join(folder, "confusion.png"), png);
}

/** The matrix as a PNG. */
export async function confusionAsPng(record: ConfusionFacts): Promise<Uint8Array<ArrayBuffer>> {
  const fonts = FONT_FILES;
  return renderSvg(await confusionAsSvg(record, fonts), fonts, zoomOf(record)).render().asPng()
    .slice();
}

/** A bitmap is drawn dot by dot. */
function zoomOf({ classes }: ConfusionFacts): number {
  return classes.length > MAX_CELL_CLASSES ? 1 : PNG_ZOOM;
}

/** Places of everything. */
interface Layout {
  readonly cell: number;
  readonly text: number;
  readonly name: number;
  readonly names: readonly string[];
  /** `true` where the names above the columns lie flat. */
  readonly flat: boolean;
  /** Top left corner of the matrix. */
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/**
 * The matrix as an SVG document.
 *
 * @throws {RangeError} when the record has no matrix of its classes
 */
export async function confusionAsSvg(record: ConfusionFacts, fonts: FontFiles): Promise<string> {
  const { classes } = record;
  const confusion = confusionOf(record, classes.length);
  if (!confusion) throw new RangeError(`There is no confusion matrix of ${classes.length} classes`);
  if (classes.length > MAX_CELL_CLASSES) return await largeConfusionAsSvg(record, confusion);
  return smallConfusionAsSvg({ ...record, confusionMatrix: denseConfusion(confusion) }, fonts);
}

/** A record whose matrix has rows. */
type SmallFacts = ConfusionFacts & { readonly confusionMatrix: readonly (readonly number[])[] };

function smallConfusionAsSvg(record: SmallFacts, fonts: FontFiles): string {
  const { classes, confusionMatrix, accuracy, count } = record;
  const { title, detail } = evaluationTitle(record);
  const subtitle = `accuracy ${
    accuracy.toFixed(3)
  } of ${count} images; a cell's colour is its share of the row`;
  const headings = [[title, TITLE.size], [detail, SUBTITLE.size], [
    subtitle,
    SUBTITLE.size,
  ]] as const;
  const layout = layOut(record, headings, fonts);
  const { cell, left, top, width, height } = layout;
  const side = classes.length * cell;
  const middle = top + side / 2;
  const parts = [
    `<rect width="${width}" height="${height}" fill="white"/>`,
    textElement(title, MARGIN, MARGIN + TITLE.size - 3, TITLE.size, { weight: "bold" }),
    ...[detail, subtitle].map((line, index) =>
      textElement(
        line,
        MARGIN,
        MARGIN + TITLE.room + SUBTITLE.size + index * SUBTITLE.line,
        SUBTITLE.size,
        { colour: COLOURS.quiet },
      )
    ),
    textElement(
      "predicted class",
      left,
      MARGIN + TITLE.room + SUBTITLE.room + AXIS.size,
      AXIS.size,
    ),
    textElement("true class", MARGIN + AXIS.size - 2, middle, AXIS.size, {
      anchor: "middle",
      turn: -90,
    }),
    ...confusionMatrix.flatMap((row, label) => rowOf(row, label, layout)),
    ...nameElements(layout),
    `<rect x="${left}" y="${top}" width="${side}" height="${side}" fill="none" stroke="#999999"/>`,
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" ` +
    `viewBox="0 0 ${width} ${height}" font-family="${FONT_FAMILY}, Verdana, sans-serif">${
      parts.join("")
    }</svg>`;
}

function layOut(
  { classes, confusionMatrix }: SmallFacts,
  headings: readonly (readonly [string, number])[],
  fonts: FontFiles,
): Layout {
  const { cell: least, text, name } = SIZES.find(({ most }) => classes.length <= most)!;
  const longest = Math.max(...confusionMatrix.map((row) => Math.max(...row)), 0);
  const digits = textWidth(String(longest), text, fonts);
  const cell = Math.ceil(Math.max(least, digits + 8, textWidth("100%", text, fonts) + 4));
  const names = classes.map((own) => truncateMiddle(own, NAME_LENGTH));
  const widths = names.map((own) => textWidth(own, name, fonts));
  const widest = Math.max(...widths);
  const flat = widest + 6 <= cell;
  const radians = SLANT * Math.PI / 180;
  const above = flat ? name : widest * Math.sin(radians) + name * Math.cos(radians);
  const left = Math.ceil(MARGIN + AXIS.room + widest + GAP);
  const top = Math.ceil(MARGIN + TITLE.room + SUBTITLE.room + AXIS.room + above + GAP);
  const side = classes.length * cell;
  // The last names lean over the right edge.
  const lean = flat
    ? 0
    : Math.max(...widths.map((width, index) =>
      width * Math.cos(radians) - (classes.length - 1 - index + 0.4) * cell
    ));
  const headingWidth = Math.max(
    ...headings.map(([heading, size]) => textWidth(heading, size, fonts)),
  );
  const right = Math.max(left + side + Math.max(0, lean), MARGIN + 1.06 * headingWidth);
  const [width, height] = [Math.ceil(right + MARGIN), Math.ceil(top + side + MARGIN)];
  return { cell, text, name, names, flat, left, top, width, height };
}

function rowOf(row: readonly number[], label: number, layout: Layout): string[] {
  const { cell, text, left, top } = layout;
  const support = row.reduce((sum, value) => sum + value, 0);
  const y = top + label * cell;
  return row.flatMap((count, predicted) => {
    const share = support > 0 ? count / support : 0;
    const x = left + predicted * cell;
    const box = `<rect x="${x}" y="${y}" width="${cell}" height="${cell}" fill="${shade(share)}" ` +
      `stroke="#d8d8d8" stroke-width="0.6"/>`;
    if (count === 0) return [box];
    const style = { anchor: "middle", colour: share > DARK ? "#ffffff" : INK } as const;
    const [centre, middle] = [x + cell / 2, y + cell / 2];
    return [
      box,
      textElement(String(count), centre, middle - text * 0.12, text, style),
      textElement(percentOf(share), centre, middle + text * 0.98, text * 0.88, style),
    ];
  });
}

/** Returns whole percents: a share above 0 is never shown as 0%, and one below 1 never as 100%. */
function percentOf(share: number): string {
  if (share < 0.005) return "<1%";
  return share < 1 && share >= 0.995 ? ">99%" : `${Math.round(100 * share)}%`;
}

function nameElements({ names, name, cell, left, top, flat }: Layout): string[] {
  return names.flatMap((own, index) => {
    const centre = (index + 0.5) * cell;
    const row = textElement(own, left - GAP, top + centre + name * 0.36, name, { anchor: "end" });
    const column = flat
      ? textElement(own, left + centre, top - GAP, name, { anchor: "middle" })
      : textElement(own, left + centre + name * 0.3, top - GAP, name, { turn: -SLANT });
    return [row, column];
  });
}

interface TextStyle {
  readonly anchor?: "start" | "middle" | "end";
  readonly colour?: string;
  readonly weight?: "bold";
  /** Degrees, clockwise, around its start. */
  readonly turn?: number;
}

function textElement(
  text: string,
  x: number,
  y: number,
  size: number,
  { anchor = "start", colour = INK, weight, turn }: TextStyle = {},
): string {
  const [left, top] = [x, y].map((value) => Number(value.toFixed(2)));
  const more = (weight ? ` font-weight="${weight}"` : "") +
    (turn === undefined ? "" : ` transform="rotate(${turn} ${left} ${top})"`);
  return `<text x="${left}" y="${top}" font-size="${size}" fill="${colour}" text-anchor="${anchor}"${more}>` +
    `${escapeXml(text)}</text>`;
}

/** The colour of a share. */
function shade(share: number): string {
  return `#${shadeOf(share).map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

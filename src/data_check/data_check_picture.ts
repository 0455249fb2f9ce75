/**
 * The result of a data set's check, as `data-check.png`: the classes' sizes as bars, and below them the pairs
 * of images that look the same.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { Image } from "../deps/imagescript.ts";
import { KINDS } from "./kinds.ts";
import type { ShownPair } from "./check_data.ts";
import type { DataCheckRecord } from "./record.ts";
import { FONT_FAMILY, type FontFiles } from "../plots/font.ts";
import { COLOURS, PNG_ZOOM } from "../plots/plot.ts";
import { escapeXml, renderSvg, textWidth } from "../plots/svg_picture.ts";
import { counted, truncateMiddle } from "../base/format.ts";
import { visible, visiblePath } from "../base/visible_text.ts";

/** The part of a record that the picture shows. */
export type PaintedRecord = Pick<DataCheckRecord, "data" | "sides" | "classes" | "counts">;

const WIDTH = 1100;
const MARGIN = 24;
const INK = "#222222";
const TITLE = { size: 20, room: 30 };
const SUBTITLE = { size: 14, room: 34 };
const HEADING = { size: 16, room: 30 };

/** Height of a class's row and the size of its texts, by the number of classes. */
const ROWS = [
  { most: 30, height: 28, text: 14, number: 11 },
  { most: 60, height: 24, text: 13, number: 10 },
  { most: Infinity, height: 20, text: 12, number: 9 },
];
/** Classes that are shown; where there are more, the largest and the smallest half of as many. */
const MAX_CLASSES = 120;
/** Widest name of a class. */
const NAME_WIDTH = 340;
/** Room for the number at the end of a bar. */
const NUMBER_WIDTH = 60;

/** Images of a pair stand in boxes, two pairs in a row. */
const PAIR = { gap: 28, between: 10, box: 190, above: 22, line: 16, text: 12, below: 18 };
const PAIR_WIDTH = (WIDTH - 2 * MARGIN - PAIR.gap) / 2;
const BOX_WIDTH = (PAIR_WIDTH - PAIR.between) / 2;
const SEVERITY_COLOURS = { error: "#b3261e", warning: "#8a5000", note: COLOURS.quiet };

/** A part of the image and how much of its height it takes. */
interface Part {
  readonly elements: readonly string[];
  readonly height: number;
}

/** Draws all of it, twice as many pixels as units. */
export async function paintDataCheck(
  record: PaintedRecord,
  pairs: readonly ShownPair[],
  fonts: FontFiles,
): Promise<Uint8Array> {
  const svg = await dataCheckAsSvg(record, pairs, fonts);
  return renderSvg(svg, fonts, PNG_ZOOM).render().asPng();
}

/** The image as an SVG document. */
export async function dataCheckAsSvg(
  record: PaintedRecord,
  pairs: readonly ShownPair[],
  fonts: FontFiles,
): Promise<string> {
  const elements: string[] = [];
  let y = MARGIN;
  for (const make of [headPart, balancePart, pairsPart]) {
    const part = await make(record, pairs, fonts, y);
    elements.push(...part.elements);
    y += part.height;
  }
  const height = Math.ceil(y + MARGIN);
  return `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ` +
    `width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" ` +
    `font-family="${FONT_FAMILY}, Verdana, sans-serif">` +
    `<rect width="${WIDTH}" height="${height}" fill="white"/>${elements.join("")}</svg>`;
}

function headPart(
  { data, classes, counts }: PaintedRecord,
  _pairs: readonly ShownPair[],
  fonts: FontFiles,
  y: number,
): Part {
  const images = classes.reduce((sum, { train, val }) => sum + train + val, 0);
  const found = (["error", "warning", "note"] as const)
    .map((severity) => counted(counts[severity], severity));
  const title = fitted(
    `Data check of ${visible(data)}`,
    WIDTH - 2 * MARGIN,
    TITLE.size,
    fonts,
    "bold",
  );
  const subtitle = `${images} images of ${classes.length} classes: ${found.join(", ")}`;
  return {
    elements: [
      textElement(title, MARGIN, y + TITLE.size, TITLE.size, { weight: "bold" }),
      textElement(subtitle, MARGIN, y + TITLE.room + SUBTITLE.size, SUBTITLE.size, {
        colour: COLOURS.quiet,
      }),
    ],
    height: TITLE.room + SUBTITLE.room,
  };
}

/** A bar of a side, or of all. */
interface Bar {
  readonly side: "train" | "val";
  readonly title: string;
  readonly colour: string;
}

function balancePart(
  { classes, sides }: PaintedRecord,
  _pairs: readonly ShownPair[],
  fonts: FontFiles,
  top: number,
): Part {
  const bars: Bar[] = sides.includes("all")
    ? [{ side: "train", title: "all", colour: COLOURS.train }]
    : [
      { side: "train", title: "train", colour: COLOURS.train },
      { side: "val", title: "val", colour: COLOURS.validation },
    ];
  const { shown, heading } = chosenClasses(classes);
  const { height, text, number } = ROWS.find(({ most }) => shown.length <= most)!;
  const names = shown.map(({ name }) => fitted(visiblePath(name), NAME_WIDTH, text, fonts));
  const nameWidth = Math.max(0, ...names.map((name) => textWidth(name, text, fonts)));
  const left = MARGIN + nameWidth + 10;
  const room = WIDTH - MARGIN - NUMBER_WIDTH - left;
  const largest = Math.max(1, ...shown.flatMap((counts) => bars.map(({ side }) => counts[side])));
  const elements = [
    textElement(heading, MARGIN, top + HEADING.size, HEADING.size, { weight: "bold" }),
    ...(bars.length > 1 ? legend(bars, top + HEADING.size) : []),
  ];
  const thickness = (height - 6) / bars.length;
  const first = top + HEADING.room;
  for (const [index, counts] of shown.entries()) {
    const y = first + index * height;
    elements.push(
      textElement(names[index], left - 10, y + height / 2 + text * 0.36, text, { anchor: "end" }),
    );
    for (const [place, { side, colour }] of bars.entries()) {
      const width = room * counts[side] / largest;
      const at = y + 3 + place * thickness;
      elements.push(
        `<rect x="${left}" y="${round(at)}" width="${round(width)}" ` +
          `height="${round(thickness - 1)}" fill="${colour}"/>`,
        textElement(
          String(counts[side]),
          left + width + 5,
          at + (thickness - 1) / 2 + number * 0.36,
          Math.min(number, thickness + 1),
        ),
      );
    }
  }
  const end = first + shown.length * height;
  elements.push(
    `<line x1="${left}" x2="${left}" y1="${first}" y2="${end}" stroke="#999999"/>`,
  );
  return { elements, height: HEADING.room + shown.length * height + 26 };
}

function chosenClasses(
  classes: DataCheckRecord["classes"],
): { shown: DataCheckRecord["classes"]; heading: string } {
  if (classes.length === 0) return { shown: [], heading: "No classes" };
  if (classes.length <= MAX_CLASSES) return { shown: classes, heading: "Images per class" };
  const half = MAX_CLASSES / 2;
  const sorted = [...classes].sort((a, b) => b.train - a.train);
  return {
    shown: [...sorted.slice(0, half), ...sorted.slice(-half)],
    heading: `Images per class: the ${half} largest and the ${half} smallest of ${classes.length}`,
  };
}

/** At the right end of the heading's line. */
function legend(bars: readonly Bar[], baseline: number): string[] {
  const step = 80;
  return bars.flatMap(({ title, colour }, index) => {
    const x = WIDTH - MARGIN - (bars.length - index) * step;
    return [
      `<rect x="${x}" y="${baseline - 12}" width="14" height="14" fill="${colour}"/>`,
      textElement(title, x + 20, baseline, 14),
    ];
  });
}

async function pairsPart(
  _record: PaintedRecord,
  pairs: readonly ShownPair[],
  fonts: FontFiles,
  top: number,
): Promise<Part> {
  const title = pairs.length > 0 ? "Pairs to look at" : "No images that look the same";
  const elements = [
    textElement(title, MARGIN, top + HEADING.size, HEADING.size, { weight: "bold" }),
  ];
  const height = PAIR.above + PAIR.box + 2 * PAIR.line + PAIR.below;
  for (const [index, pair] of pairs.entries()) {
    const x = MARGIN + (index % 2) * (PAIR_WIDTH + PAIR.gap);
    const y = top + HEADING.room + Math.floor(index / 2) * height;
    elements.push(...await pairElements(pair, x, y, fonts));
  }
  return { elements, height: HEADING.room + Math.ceil(pairs.length / 2) * height };
}

async function pairElements(
  { finding, images }: ShownPair,
  x: number,
  y: number,
  fonts: FontFiles,
): Promise<string[]> {
  const { title, severity } = KINDS[finding.kind];
  const detail = finding.detail ? `, ${finding.detail}` : "";
  const heading = fitted(`${title}${detail}`, PAIR_WIDTH, PAIR.text, fonts);
  const elements = [
    textElement(heading, x, y + PAIR.text, PAIR.text, { colour: SEVERITY_COLOURS[severity] }),
  ];
  for (const [index, image] of images.entries()) {
    const left = x + index * (BOX_WIDTH + PAIR.between);
    const top = y + PAIR.above;
    const scale = Math.min(BOX_WIDTH / image.width, PAIR.box / image.height);
    const [width, height] = [image.width * scale, image.height * scale];
    const place = `x="${round(left + (BOX_WIDTH - width) / 2)}" ` +
      `y="${round(top + (PAIR.box - height) / 2)}" ` +
      `width="${round(width)}" height="${round(height)}"`;
    elements.push(
      `<rect x="${round(left)}" y="${top}" width="${
        round(BOX_WIDTH)
      }" height="${PAIR.box}" fill="#f2f2f2"/>`,
      `<image ${place} xlink:href="data:image/png;base64,${await pngOf(image)}"/>`,
      ...nameLines(finding.files[index], fonts).map((line, row) =>
        textElement(line, left, top + PAIR.box + (row + 1) * PAIR.line - 2, PAIR.text)
      ),
    );
  }
  return elements;
}

/** The folder and the file, each on a line. */
function nameLines(path: string, fonts: FontFiles): string[] {
  const name = visiblePath(path);
  const slash = name.lastIndexOf("/") + 1;
  return [name.slice(0, slash), name.slice(slash)].filter((line) => line !== "")
    .map((line) => fitted(line, BOX_WIDTH, PAIR.text, fonts));
}

async function pngOf(
  { width, height, data }: { width: number; height: number; data: Uint8Array },
): Promise<string> {
  const image = new Image(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    image.bitmap.set(data.subarray(pixel * 3, pixel * 3 + 3), pixel * 4);
    image.bitmap[pixel * 4 + 3] = 255;
  }
  return Buffer.from(await image.encode()).toString("base64");
}

/** A text that is cut in its middle until it is no wider than `room`. */
function fitted(
  text: string,
  room: number,
  size: number,
  fonts: FontFiles,
  weight: "bold" | "normal" = "normal",
): string {
  let shown = text;
  for (let width = textWidth(shown, size, fonts, weight); width > room && shown.length > 1;) {
    const length = Math.min(shown.length - 1, Math.floor(shown.length * room / width));
    shown = truncateMiddle(text, Math.max(1, length));
    width = textWidth(shown, size, fonts, weight);
  }
  return shown;
}

interface TextStyle {
  readonly anchor?: "start" | "end";
  readonly colour?: string;
  readonly weight?: "bold";
}

function textElement(
  text: string,
  x: number,
  y: number,
  size: number,
  { anchor = "start", colour = INK, weight }: TextStyle = {},
): string {
  const more = weight ? ` font-weight="${weight}"` : "";
  return `<text x="${round(x)}" y="${round(y)}" font-size="${
    round(size)
  }" fill="${colour}" text-anchor="${anchor}"${more}>${escapeXml(text)}</text>`;
}

function round(value: number): number {
  return Number(value.toFixed(2));
}

/**
 * A confusion matrix as a picture: true classes down, predicted classes across, shares of each true class as shades.
 *
 * @module
 */
import { FONT_FAMILY, fontFiles } from "./font.ts";
import { COLOURS } from "./plot.ts";
import { escapeXml, renderSvg } from "./svg_picture.ts";

/** Classes up to which cells have numbers and rows have names. */
const MOST_NAMED = 40;
const CELL = 44;
const SMALL_CELL = 10;
const FONT = 14;
const NAME_LENGTH = 24;
/** Width of a character of a name, about; of the typeface at its size. */
const CHARACTER = 0.62 * FONT;
const PIXELS_PER_UNIT = 2;

/** Draws the matrix as a PNG. */
export async function confusionPng(
  matrix: readonly (readonly number[])[],
  classes: readonly string[],
  title: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const svg = confusionSvg(matrix, classes, title);
  return renderSvg(svg, await fontFiles(), PIXELS_PER_UNIT).render().asPng().slice();
}

/** Draws the matrix as an SVG document. */
export function confusionSvg(
  matrix: readonly (readonly number[])[],
  classes: readonly string[],
  title: string,
): string {
  const isNamed = classes.length <= MOST_NAMED;
  const cell = isNamed ? CELL : SMALL_CELL;
  const names = classes.map(shortened);
  const longest = Math.max(...names.map(({ length }) => length));
  const margin = isNamed ? Math.ceil(longest * CHARACTER) + 44 : 48;
  const side = cell * classes.length;
  const top = 64;
  const width = Math.max(margin + side + 24, Math.ceil(title.length * 0.66 * 17) + 32);
  const height = top + side + margin;
  const cells = matrix.flatMap((row, y) => {
    const sum = row.reduce((total, count) => total + count, 0);
    return row.map((count, x) =>
      cellSvg({ x: margin + x * cell, y: top + y * cell, cell }, count, sum, isNamed)
    );
  });
  const labels = isNamed
    ? names.map((name, index) => labelsSvg(name, index, { margin, top, side }))
    : [];
  const middle = { x: margin + side / 2, y: top + side / 2 };
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" ` +
    `font-family="${FONT_FAMILY}, sans-serif" font-size="${FONT}" fill="#222">`,
    `<rect width="100%" height="100%" fill="white"/>`,
    `<text x="16" y="34" font-size="17" font-weight="bold">${escapeXml(title)}</text>`,
    ...cells,
    ...labels,
    `<text x="${middle.x}" y="${
      height - 12
    }" text-anchor="middle" fill="${COLOURS.quiet}">predicted class</text>`,
    `<text transform="translate(22 ${middle.y}) rotate(-90)" text-anchor="middle" fill="${COLOURS.quiet}">true class</text>`,
    "</svg>",
  ].join("\n");
}

function cellSvg(
  { x, y, cell }: { x: number; y: number; cell: number },
  count: number,
  sum: number,
  isNamed: boolean,
): string {
  const share = sum > 0 ? count / sum : 0;
  const square =
    `<rect x="${x}" y="${y}" width="${cell}" height="${cell}" fill="${COLOURS.train}" ` +
    `fill-opacity="${share.toFixed(3)}" stroke="#dddddd" stroke-width="${isNamed ? 1 : 0.3}"/>`;
  if (!isNamed) return square;
  const colour = share > 0.55 ? "white" : "#222";
  return `${square}<text x="${x + cell / 2}" y="${y + cell / 2 + 5}" text-anchor="middle" ` +
    `fill="${colour}" font-size="${count > 9999 ? 11 : FONT}">${count}</text>`;
}

/** A class's name beside its row, and upright below its column. */
function labelsSvg(
  name: string,
  index: number,
  { margin, top, side }: { margin: number; top: number; side: number },
): string {
  const at = (index + 0.5) * CELL + 5;
  const text = escapeXml(name);
  return `<text x="${margin - 8}" y="${top + at}" text-anchor="end">${text}</text>` +
    `<text transform="translate(${margin + at} ${
      top + side + 8
    }) rotate(-90)" text-anchor="end">${text}</text>`;
}

function shortened(name: string): string {
  const characters = [...name];
  return characters.length > NAME_LENGTH
    ? characters.slice(0, NAME_LENGTH - 1).join("") + "…"
    : name;
}

/**
 * Labelled pictures in rows and columns, as one PNG: a training batch, or predictions.
 *
 * Pictures are put together with imagescript. Its own text needs `Deno.core`, which programs don't have
 * (imagescript 1.3.1, Deno 2), so the texts are drawn by resvg as one transparent layer over them.
 *
 * @module
 */
import { Image } from "../deps/imagescript.ts";
import { writeFileAtomically } from "../base/paths.ts";
import { FONT_FAMILY, FONT_FILES, type FontFiles } from "./font.ts";
import { escapeXml, renderSvg, textWidth } from "./svg_picture.ts";

/** One picture of a grid. */
export interface Tile {
  /** Pixels. */
  width: number;
  height: number;
  /** `[height, width, 3]`, 8 bits per channel. */
  rgb: Uint8Array;
  /** Line breaks stay. */
  title: string;
  /** Colour of frame and title: green, red, or none; `plain` unless given. */
  colour?: "good" | "bad" | "plain" | undefined;
}

/** The looks of a grid. */
export interface GridOptions {
  columns: number;
  heading: string;
  /** Width that a column may reach for the sake of its titles, in pixels; as its pictures unless given. */
  roomForTitles?: number;
  /** Smaller pictures are enlarged by a whole factor until they are this wide (default 144 pixels). */
  leastSide?: number;
}

const MARGIN = 16;
const GAP = 14;
/** Width of a coloured frame around a picture. */
const FRAME = 4;
/** Default width in pixels up to which pictures are enlarged; `MAX_SIDE` is the width that they are reduced to. */
const MIN_SIDE = 144;
const MAX_SIDE = 400;
const HEADING = { size: 20, lineHeight: 27, below: 13 };
const TITLE = { size: 14, lineHeight: 19 };
/** Dark enough on white to read (contrast above 4.5). */
const COLOURS = { good: "#1a7f37", bad: "#c62828", plain: "#333333" };

/** A tile with its place in the grid. */
interface Placed {
  tile: Tile;
  image: Image;
  lines: string[];
  x: number;
  y: number;
}

/**
 * Writes the pictures as a PNG with a heading and a title under each; titles that are too long for a tile
 * are broken into two lines, and then end with an ellipsis.
 *
 * @param path PNG file, replaced as a whole
 * @throws {RangeError} when there is no tile, or a tile's bytes don't fit its size
 */
export async function writePictureGrid(
  path: string,
  tiles: readonly Tile[],
  options: GridOptions,
): Promise<void> {
  const grid = drawPictureGrid(tiles, options);
  await writeFileAtomically(path, await grid.encode());
}

/** The pictures of {@linkcode writePictureGrid}, not yet encoded. */
export function drawPictureGrid(
  tiles: readonly Tile[],
  { columns, heading, leastSide = MIN_SIDE, roomForTitles = 0 }: GridOptions,
): Image {
  if (tiles.length === 0) throw new RangeError("A picture grid needs a picture, but there is none");
  const fonts = FONT_FILES;
  const images = tiles.map((tile) => imageOf(tile, leastSide));
  const widest = Math.max(...images.map((image) => image.width));
  const wanted = roomForTitles > widest
    ? tiles.flatMap(({ title }) => title.split("\n"))
      .map((line) => Math.ceil(textWidth(line, TITLE.size, fonts)))
    : [];
  const cell = Math.max(widest, Math.min(roomForTitles, Math.max(0, ...wanted)));
  const used = Math.min(columns, tiles.length);
  const width = 2 * MARGIN + used * cell + (used - 1) * GAP;
  const headingLines = breakTitle(heading, width - 2 * MARGIN, HEADING.size, fonts);
  const placed: Placed[] = [];
  let y = MARGIN + headingLines.length * HEADING.lineHeight + HEADING.below;
  for (let first = 0; first < tiles.length; first += used) {
    const row = tiles.slice(first, first + used).map((tile, column) => ({
      tile,
      image: images[first + column],
      lines: breakTitle(tile.title, cell, TITLE.size, fonts),
      x: MARGIN + column * (cell + GAP),
      y,
    }));
    placed.push(...row);
    const tallest = Math.max(...row.map(({ image }) => image.height));
    const lines = Math.max(...row.map((entry) => entry.lines.length));
    y += tallest + lines * TITLE.lineHeight + GAP;
  }
  const grid = new Image(width, y - GAP + MARGIN).fill(0xffffffff);
  for (const { image, x, y } of placed) {
    grid.composite(image, x + Math.floor((cell - image.width) / 2), y);
  }
  grid.composite(textLayer(grid, headingLines, placed, cell, fonts), 0, 0);
  return grid;
}

/** The picture in its shown size, with its frame. */
function imageOf({ width, height, rgb, colour = "plain" }: Tile, leastSide: number): Image {
  if (rgb.length !== width * height * 3) {
    throw new RangeError(
      `A picture of ${width}×${height} has ${
        width * height * 3
      } bytes of RGB, but ${rgb.length} came`,
    );
  }
  const image = new Image(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    image.bitmap.set(rgb.subarray(pixel * 3, pixel * 3 + 3), pixel * 4);
    image.bitmap[pixel * 4 + 3] = 255;
  }
  const enlarge = Math.ceil(leastSide / width);
  const factor = enlarge > 1 ? enlarge : Math.min(1, MAX_SIDE / Math.max(width, height));
  image.resize(Math.max(1, Math.round(width * factor)), Math.max(1, Math.round(height * factor)));
  if (colour === "plain") return image;
  const framed = new Image(image.width + 2 * FRAME, image.height + 2 * FRAME);
  framed.fill(parseInt(COLOURS[colour].slice(1) + "ff", 16));
  return framed.composite(image, FRAME, FRAME);
}

/** All texts on a transparent ground, as large as the grid. */
function textLayer(
  grid: Image,
  heading: string[],
  placed: Placed[],
  cell: number,
  fonts: FontFiles,
): Image {
  const texts = heading.map((line, index) =>
    textElement(
      line,
      MARGIN,
      MARGIN + HEADING.size + index * HEADING.lineHeight,
      HEADING.size,
      "#111111",
    )
  );
  for (const { tile, image, lines, x, y } of placed) {
    const colour = COLOURS[tile.colour ?? "plain"];
    lines.forEach((line, index) => {
      const baseline = y + image.height + (index + 1) * TITLE.lineHeight - 4;
      texts.push(textElement(line, x + cell / 2, baseline, TITLE.size, colour, "middle"));
    });
  }
  const svg = svgOf(grid.width, grid.height, texts.join(""));
  const { pixels, width, height } = renderSvg(svg, fonts).render();
  const layer = new Image(width, height);
  layer.bitmap.set(unmultiplied(pixels));
  return layer;
}

/** resvg's colours are multiplied by their opacity, imagescript's are not. */
function unmultiplied(pixels: Uint8Array): Uint8ClampedArray {
  const result = new Uint8ClampedArray(pixels);
  for (let at = 0; at < result.length; at += 4) {
    const alpha = result[at + 3];
    if (alpha === 0 || alpha === 255) continue;
    for (let channel = at; channel < at + 3; channel++) {
      result[channel] = pixels[channel] * 255 / alpha;
    }
  }
  return result;
}

/** One line, or two broken before a parenthesis, between words or after a hyphen, each no wider than `width`. */
function breakTitle(text: string, width: number, size: number, fonts: FontFiles): string[] {
  const weight = weightOf(size);
  const fits = (line: string) => textWidth(line, size, fonts, weight) <= width;
  const title = text.trim();
  if (title === "") return [];
  if (title.includes("\n")) return title.split("\n").map((line) => ellipsis(line, fits));
  if (fits(title)) return [title];
  const bracket = title.indexOf(" (");
  const breaks = Array.from(title.matchAll(/\s+|(?<=[-_/])\b/g), ({ index }) => index);
  const at = bracket > 0 ? bracket : breaks.findLast((index) => fits(title.slice(0, index)));
  if (at === undefined) return [ellipsis(title, fits)];
  return [title.slice(0, at), title.slice(at).trim()].map((line) => ellipsis(line, fits));
}

/** The longest beginning that fits, with an ellipsis unless it is all; found by bisection. */
function ellipsis(text: string, fits: (line: string) => boolean): string {
  if (fits(text)) return text;
  const characters = Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment);
  let least = 0;
  let most = characters.length - 1;
  const cut = (length: number) => characters.slice(0, length).join("").trimEnd() + "…";
  while (least < most) {
    const middle = Math.ceil((least + most) / 2);
    if (fits(cut(middle))) least = middle;
    else most = middle - 1;
  }
  return cut(least);
}

function textElement(
  text: string,
  x: number,
  y: number,
  size: number,
  colour: string,
  anchor: "start" | "middle" = "start",
): string {
  const weight = weightOf(size);
  return `<text x="${x}" y="${y}" font-family="${FONT_FAMILY}" font-size="${size}" ` +
    `font-weight="${weight}" fill="${colour}" text-anchor="${anchor}">${escapeXml(text)}</text>`;
}

function weightOf(size: number): "bold" | "normal" {
  return size === HEADING.size ? "bold" : "normal";
}

function svgOf(width: number, height: number, content: string): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${content}</svg>`;
}

/**
 * The confusion matrix of many classes as a bitmap of bounded size.
 *
 * @module
 */
import { Image } from "../deps/imagescript.ts";
import { type ConfusionCounts, supportsOf } from "../metrics/confusion.ts";

/** Above so many classes, a cell is a dot of a bitmap: a text in each would be too small to read. */
export const MAX_CELL_CLASSES = 60;

/** Most rows and columns of dots; a dot is a square of whole pixels, so that the bitmap is at most 960 wide. */
const MAX_SIDE = 720;

/** White to dark blue, as the share of a row grows: light enough to dark enough for texts on either side. */
const SHADES = [[255, 255, 255], [198, 219, 239], [107, 174, 214], [33, 113, 181], [8, 48, 107]];

/** A colour between the two nearest shades. */
export function shadeOf(share: number): readonly [red: number, green: number, blue: number] {
  const place = Math.min(1, share) * (SHADES.length - 1);
  const low = Math.min(SHADES.length - 2, Math.floor(place));
  const mix = (channel: number) =>
    Math.round(
      SHADES[low][channel] + (place - low) * (SHADES[low + 1][channel] - SHADES[low][channel]),
    );
  return [mix(0), mix(1), mix(2)];
}

/** A square picture of a matrix. */
export interface ConfusionBitmap {
  /** Width and height in pixels, at most 960. */
  readonly side: number;
  readonly png: Uint8Array<ArrayBuffer>;
}

/**
 * Draws each cell as a square of pixels; of more than 720 classes, several neighbours share a pixel. A pixel's
 * colour is the square root of its share of the row, which makes small shares, those of the mistakes, visible.
 *
 * The time is that of the pixels and of the cells that are not 0.
 */
export async function drawConfusionBitmap(confusion: ConfusionCounts): Promise<ConfusionBitmap> {
  const { classes, labels, predictions, counts } = confusion;
  const bins = Math.min(classes, MAX_SIDE);
  const binOf = (label: number) => Math.floor(label * bins / classes);
  const sums = new Float64Array(bins * bins);
  const rows = new Float64Array(bins);
  supportsOf(confusion).forEach((support, label) => rows[binOf(label)] += support);
  counts.forEach((count, cell) => {
    sums[binOf(labels[cell]) * bins + binOf(predictions[cell])] += count;
  });
  const zoom = Math.max(1, Math.round(MAX_SIDE / bins));
  const image = new Image(bins * zoom, bins * zoom).fill(0xffffffff);
  for (let row = 0; row < bins; row++) {
    for (let column = 0; column < bins; column++) {
      const sum = sums[row * bins + column];
      if (sum > 0) fillCell(image, row, column, zoom, shadeOf(Math.sqrt(sum / rows[row])));
    }
  }
  return { side: bins * zoom, png: (await image.encode()).slice() };
}

function fillCell(
  { bitmap, width }: Image,
  row: number,
  column: number,
  zoom: number,
  colour: readonly number[],
): void {
  for (let y = row * zoom; y < (row + 1) * zoom; y++) {
    for (let x = column * zoom; x < (column + 1) * zoom; x++) {
      bitmap.set(colour, 4 * (y * width + x));
    }
  }
}

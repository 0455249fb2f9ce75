/**
 * Lays a map over an image.
 *
 * @module
 */
import { colourOf } from "./colour_map.ts";

/** An image of 8-bit RGB pixels. */
interface Pixels {
  readonly width: number;
  readonly height: number;
  /** [height, width, 3]. */
  readonly data: Uint8Array;
}

/** Numbers of at least 0 on a coarser grid over the same area. */
export interface HeatMap {
  readonly width: number;
  readonly height: number;
  /** [height, width]. */
  readonly values: Float32Array;
}

/** Share of the map's colour in a pixel; the rest is the image, in grey. */
const OPACITY = 0.55;

/**
 * The image in grey under the map's colours: the greatest number of the map is the lightest colour. A map without
 * any number above 0 is dark all over.
 */
export function overlayHeat({ width, height, data }: Pixels, map: HeatMap): Pixels {
  const heat = enlarge(map, width, height);
  const most = heat.reduce((a, b) => Math.max(a, b), 0);
  const result = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const at = pixel * 3;
    // Luma of ITU-R BT.601.
    const grey = 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
    const colour = colourOf(most > 0 ? heat[pixel] / most : 0);
    for (let channel = 0; channel < 3; channel++) {
      result[at + channel] = Math.round(OPACITY * colour[channel] + (1 - OPACITY) * grey);
    }
  }
  return { width, height, data: result };
}

/** Bilinear, with the centres of cells and pixels at their middles (as `align_corners=False` in PyTorch). */
export function enlarge(map: HeatMap, width: number, height: number): Float32Array {
  const columns = places(map.width, width);
  const rows = places(map.height, height);
  const at = (row: number, column: number) => map.values[row * map.width + column];
  const result = new Float32Array(width * height);
  rows.forEach(({ low: top, high: below, share: down }, y) =>
    columns.forEach(({ low: left, high: right, share }, x) => {
      const upper = at(top, left) * (1 - share) + at(top, right) * share;
      const lower = at(below, left) * (1 - share) + at(below, right) * share;
      result[y * width + x] = upper * (1 - down) + lower * down;
    })
  );
  return result;
}

/** Between which two cells each pixel lies, and how far it is from the first. */
function places(cells: number, pixels: number) {
  return Array.from({ length: pixels }, (_, pixel) => {
    const place = Math.max(0, (pixel + 0.5) * cells / pixels - 0.5);
    const low = Math.min(cells - 1, Math.floor(place));
    return { low, high: Math.min(cells - 1, low + 1), share: place - low };
  });
}

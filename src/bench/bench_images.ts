/**
 * Images to measure the loader with: JPEGs of 500 × 375 pixels made of real photos.
 *
 * @module
 */
import { join } from "node:path";
import { resizeRgb } from "../data/resizing/resize.ts";
import type { Box, RgbImage } from "../data/codecs/rgb_image.ts";
import { scanImageFolder } from "../data/datasets/image_folder.ts";
import { encodeJpegNative } from "../engine/image_ops.ts";

const WIDTH = 500, HEIGHT = 375;
const QUALITY = 95;

/** The four quarters of a made image: each shows one photo. */
const QUARTERS: Box[] = [
  { left: 0, top: 0, width: 250, height: 188 },
  { left: 250, top: 0, width: 250, height: 188 },
  { left: 0, top: 188, width: 250, height: 187 },
  { left: 250, top: 188, width: 250, height: 187 },
];

/**
 * Writes JPEGs (4:2:0, quality 95, about 60 kB each): four photos side by side, each cut to 4:3 and resized
 * a little. One small photo blown up to that size would have few details, and decode faster than real ones.
 *
 * @param photos Folder of photos, with `train/` and `val/`
 * @param folder Where to write; it must be there
 */
export async function makeBenchImages(
  photos: string,
  folder: string,
  count: number,
): Promise<void> {
  const { train, source } = await scanImageFolder(photos);
  using _ = source;
  for (let image = 0; image < count; image++) {
    const made = { width: WIDTH, height: HEIGHT, data: new Uint8Array(WIDTH * HEIGHT * 3) };
    for (const [at, quarter] of QUARTERS.entries()) {
      const photo = await source.read(train.at((image * QUARTERS.length + at) % train.length)!);
      paste(resizeRgb(photo, quarter.width, quarter.height, fourByThree(photo)), made, quarter);
    }
    const name = `${String(image).padStart(4, "0")}.jpg`;
    await Deno.writeFile(join(folder, name), encodeJpegNative(made, QUALITY));
  }
}

/** The largest box of that shape in the middle of an image. */
function fourByThree({ width, height }: RgbImage): Box {
  const wide = Math.min(width, Math.floor(height * 4 / 3));
  const high = Math.min(height, Math.floor(width * 3 / 4));
  return { left: (width - wide) >> 1, top: (height - high) >> 1, width: wide, height: high };
}

function paste(part: RgbImage, image: RgbImage, { left, top }: Box): void {
  const bytes = part.width * 3;
  for (let y = 0; y < part.height; y++) {
    const row = part.data.subarray(y * bytes, (y + 1) * bytes);
    image.data.set(row, ((top + y) * image.width + left) * 3);
  }
}

/**
 * A decoded image, and what moves its pixels without changing them.
 *
 * @module
 */

/** Pixels above which an image is refused, unless configured. */
export const DEFAULT_MAX_PIXELS = 100_000_000;

/** An image of 8-bit RGB pixels. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  /** [height, width, 3], row by row. */
  readonly data: Uint8Array;
  /** The same as floats that are ready for the network, as a data module may give them; then there are no bytes. */
  readonly ready?: Float32Array;
}

/** Returns the bytes that an image takes in memory. */
export function bytesIn({ data, ready }: RgbImage): number {
  return (ready ?? data).byteLength;
}

/** A part of an image, in pixels from its top left corner. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Chooses the part of an upright image that is wanted, inside of it; nothing for all of it.
 *
 * @param size Width and height in pixels
 */
export type PartOf = (size: { width: number; height: number }) => Box | undefined;

/**
 * A copy of a part of an image.
 *
 * @param outside Red, green and blue of what lies outside of the image; black unless given
 */
export function cropRgb(image: RgbImage, box: Box, outside?: Uint8Array): RgbImage {
  const { left, top, width, height } = box;
  const data = new Uint8Array(width * height * 3);
  if (outside) { for (let at = 0; at < data.length; at += 3) data.set(outside, at); }
  const from = Math.max(left, 0), to = Math.min(left + width, image.width);
  const first = Math.max(top, 0), end = Math.min(top + height, image.height);
  if (from < to) {
    for (let y = first; y < end; y++) {
      const row = y * image.width;
      const source = image.data.subarray((row + from) * 3, (row + to) * 3);
      data.set(source, ((y - top) * width + from - left) * 3);
    }
  }
  return { width, height, data };
}

/** The image mirrored left to right. */
export function flipRgb(image: RgbImage): RgbImage {
  return orientRgb(image, 2);
}

/**
 * Turns an image upright by its EXIF orientation (Exif 2.3, tag 0x0112): 2 mirrored, 3 upside down,
 * 4 both, 5–8 lying on a side. Any other value leaves it as it is.
 */
export function orientRgb(image: RgbImage, orientation: number): RgbImage {
  if (!(orientation >= 2 && orientation <= 8)) return image;
  const { width, height, data: source } = image;
  const turned = orientation >= 5;
  const mirrorX = [2, 3, 7, 8].includes(orientation);
  const mirrorY = [3, 4, 6, 7].includes(orientation);
  const stepX = mirrorX ? -1 : 1;
  const stepY = mirrorY ? -width : width;
  const origin = (mirrorX ? width - 1 : 0) + (mirrorY ? (height - 1) * width : 0);
  const perColumn = turned ? stepY : stepX;
  const perRow = turned ? stepX : stepY;
  const outWidth = turned ? height : width;
  const outHeight = turned ? width : height;
  const data = new Uint8Array(source.length);
  for (let y = 0, at = 0; y < outHeight; y++) {
    let from = (origin + y * perRow) * 3;
    for (let x = 0; x < outWidth; x++, at += 3, from += perColumn * 3) {
      data[at] = source[from]!;
      data[at + 1] = source[from + 1]!;
      data[at + 2] = source[from + 2]!;
    }
  }
  return { width: outWidth, height: outHeight, data };
}

/**
 * Brightness, contrast, saturation and grey, with the pixels of Pillow's `ImageEnhance` to the bit: each is
 * a mix, in 32-bit floats, of the image and one that lacks what is adjusted.
 *
 * @module
 */
import type { RgbImage } from "../codecs/rgb_image.ts";

/**
 * Brighter (above 1) or darker (below 1); 0 is black.
 *
 * @param factor 0 or more
 */
export function adjustBrightness(image: RgbImage, factor: number): RgbImage {
  return mapped(image, mixTable(0, factor));
}

/**
 * More (above 1) or less (below 1) contrast; 0 is one grey, the mean of the image's.
 *
 * @param factor 0 or more
 */
export function adjustContrast(image: RgbImage, factor: number): RgbImage {
  let sum = 0;
  for (let at = 0; at < image.data.length; at += 3) sum += greyOf(image.data, at);
  const mean = Math.floor(sum / (image.width * image.height) + 0.5);
  return mapped(image, mixTable(mean, factor));
}

/**
 * More (above 1) or less (below 1) colour; 0 is grey.
 *
 * @param factor 0 or more
 */
export function adjustSaturation(image: RgbImage, factor: number): RgbImage {
  const share = Math.fround(factor);
  const { data: source } = image;
  const data = new Uint8ClampedArray(source.length);
  for (let at = 0; at < source.length; at += 3) {
    const grey = greyOf(source, at);
    data[at] = mixed(grey, source[at]!, share);
    data[at + 1] = mixed(grey, source[at + 1]!, share);
    data[at + 2] = mixed(grey, source[at + 2]!, share);
  }
  return { ...image, data: new Uint8Array(data.buffer) };
}

/** Without colour: all three channels have the brightness by ITU-R 601. */
export function greyRgb(image: RgbImage): RgbImage {
  const data = new Uint8Array(image.data.length);
  for (let at = 0; at < data.length; at += 3) data.fill(greyOf(image.data, at), at, at + 3);
  return { ...image, data };
}

/** The weights 0.299, 0.587 and 0.114 with 16 bits behind the point. */
function greyOf(data: Uint8Array, at: number): number {
  return (data[at]! * 19595 + data[at + 1]! * 38470 + data[at + 2]! * 7471 + 0x8000) >> 16;
}

/** Returns the result for each byte. */
function mixTable(from: number, factor: number): Uint8ClampedArray {
  const share = Math.fround(factor);
  return Uint8ClampedArray.from({ length: 256 }, (_, byte) => mixed(from, byte, share));
}

/** A whole number, maybe out of a byte's range. */
function mixed(from: number, to: number, share: number): number {
  return Math.trunc(Math.fround(from + Math.fround(share * (to - from))));
}

function mapped(image: RgbImage, table: Uint8ClampedArray): RgbImage {
  return { ...image, data: image.data.map((byte) => table[byte]!) };
}

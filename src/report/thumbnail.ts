/**
 * Small pictures for a page.
 *
 * @module
 */
import { Image } from "../deps/imagescript.ts";
import { MAX_SIDE } from "./report_pictures.ts";

/** Below this a JPEG's blocks show; a PNG is small enough. */
const MIN_JPEG_SIDE = 96;
const QUALITY = 85;

/** A picture as an address of data. */
export interface Thumbnail {
  readonly width: number;
  readonly height: number;
  readonly image: string;
}

/**
 * Makes a picture small enough for a page.
 *
 * @param rgb `width` × `height` × 3 bytes
 */
export async function thumbnail(
  { width, height, rgb }: { width: number; height: number; rgb: Uint8Array },
): Promise<Thumbnail> {
  const image = new Image(width, height).fill(0x000000ff);
  for (let pixel = 0; pixel < width * height; pixel++) {
    image.bitmap.set(rgb.subarray(pixel * 3, pixel * 3 + 3), pixel * 4);
  }
  const factor = Math.min(1, MAX_SIDE / Math.max(width, height));
  const side = (length: number) => Math.max(1, Math.round(length * factor));
  if (factor < 1) image.resize(side(width), side(height));
  const isTiny = Math.max(width, height) < MIN_JPEG_SIDE;
  const bytes = isTiny ? await image.encode() : await image.encodeJPEG(QUALITY);
  const type = isTiny ? "png" : "jpeg";
  return {
    width: image.width,
    height: image.height,
    image: `data:image/${type};base64,${bytes.toBase64()}`,
  };
}

/**
 * Images as a data module gives them, made into what the loader works with.
 *
 * @module
 */
import { findNonFinite } from "../../base/float32.ts";
import { DataError } from "../codecs/data_error.ts";
import { decodeImage, type DecodeOptions } from "../codecs/decode.ts";
import { cropRgb, type RgbImage } from "../codecs/rgb_image.ts";

/** Pixels, row by row from the top left corner. */
export interface PixelImage {
  /** In pixels. */
  readonly width: number;
  /** In pixels. */
  readonly height: number;
  /**
   * [height, width, channels]. Bytes of 1 channel (grey), 3 (RGB) or 4 (RGBA, of which alpha is left out) go through
   * the transforms. A `Float32Array` of 1 or 3 channels is what the network gets: it has the transforms' size and
   * passes them by.
   */
  readonly data: Uint8Array | Uint8ClampedArray | Float32Array;
}

/**
 * Makes an image of what a data module gave.
 *
 * @param image Pixels, or the bytes of an image file
 * @throws {DataError} when it is neither, can't be decoded, or has floats that are not finite
 */
export async function userImage(
  image: PixelImage | Uint8Array,
  options: DecodeOptions,
): Promise<RgbImage> {
  const { path, part } = options;
  if (image instanceof Uint8Array) {
    return await decodeImage(image as Uint8Array<ArrayBuffer>, options);
  }
  requireImage(image, path);
  const { width, height, data } = image;
  const channels = data.length / (width * height);
  if (![1, 3, 4].includes(channels) || (data instanceof Float32Array && channels === 4)) {
    throw new DataError(
      path,
      `its ${data.length} values are not ${width} × ${height} pixels of 1 or 3 channels` +
        (data instanceof Float32Array ? "" : " (or 4)"),
    );
  }
  if (data instanceof Float32Array) {
    requireFinite(image as FloatPixels, channels, path);
    // The module may use its memory again: what is kept must be a copy.
    const ready = channels === 3 ? data.slice() : spread(data, new Float32Array(data.length * 3));
    return { width, height, data: new Uint8Array(), ready };
  }
  const rgb = { width, height, data: rgbOf(data, channels) };
  const box = part?.({ width, height });
  return box ? cropRgb(rgb, box) : rgb;
}

/** An image of floats. */
type FloatPixels = PixelImage & { readonly data: Float32Array };

/** A network may hide what isn't finite: a ReLU makes 0 of NaN. */
function requireFinite({ width, data }: FloatPixels, channels: number, path: string): void {
  const at = findNonFinite(data);
  if (at < 0) return;
  const pixel = Math.floor(at / channels);
  throw new DataError(
    path,
    `its value at row ${Math.floor(pixel / width)}, column ${pixel % width}, channel ${
      at % channels
    } is ${data[at]}: give finite floats`,
  );
}

/** Asserts that a value of the user's code is an image. */
function requireImage(image: unknown, path: string): asserts image is PixelImage {
  const { width, height, data } = (image ?? {}) as Partial<PixelImage>;
  const isSize = (size: unknown) => Number.isSafeInteger(size) && (size as number) > 0;
  const isData = data instanceof Uint8Array || data instanceof Uint8ClampedArray ||
    data instanceof Float32Array;
  if (isSize(width) && isSize(height) && isData) return;
  throw new DataError(
    path,
    "its image is neither { width, height, data } with data of bytes or a Float32Array, nor the bytes of a " +
      "image file as a Uint8Array",
  );
}

function rgbOf(data: Uint8Array | Uint8ClampedArray, channels: number): Uint8Array {
  if (channels === 3) return Uint8Array.from(data);
  if (channels === 1) return spread(data, new Uint8Array(data.length * 3));
  const rgb = new Uint8Array(data.length / 4 * 3);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    rgb[to] = data[from]!;
    rgb[to + 1] = data[from + 1]!;
    rgb[to + 2] = data[from + 2]!;
  }
  return rgb;
}

/** Writes each value three times. */
function spread<T extends Uint8Array | Float32Array>(values: ArrayLike<number>, target: T): T {
  for (let index = 0; index < target.length; index++) {
    target[index] = values[Math.floor(index / 3)]!;
  }
  return target;
}

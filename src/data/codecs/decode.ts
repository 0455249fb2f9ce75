/**
 * Decoding of an image file's bytes to upright RGB pixels.
 *
 * The pixels are Pillow's `ImageOps.exif_transpose(image).convert("RGB")`, with two rules of its own: of
 * 16-bit channels the high byte counts, and an alpha channel is left out (the colours under it stay).
 *
 * @module
 */
import { messageOf } from "../../base/errors.ts";
import {
  decodeImageNative,
  decodeJpegPartNative,
  type ImageWork,
  onOtherThreads,
  onThisThread,
} from "../../engine/image_ops.ts";
import { decodeBmp } from "./bmp.ts";
import { DataError } from "./data_error.ts";
import { firstGifFrame, gifOfFrame } from "./gif_frame.ts";
import { type ImageHeader, NAMES, readImageHeader, tooLarge } from "./image_header.ts";
import { canDecodePart } from "./jpeg_part.ts";
import {
  type Box,
  cropRgb,
  DEFAULT_MAX_PIXELS,
  orientRgb,
  type PartOf,
  type RgbImage,
} from "./rgb_image.ts";
import { firstWebpFrame, webpOfFrame } from "./webp_frame.ts";

/** Most bytes of a file with an image; no camera makes larger ones. */
export const MAX_IMAGE_BYTES = 2 ** 30;

/** The options of {@linkcode decodeImage}. */
export interface DecodeOptions {
  /** The file, for messages. */
  path: string;
  /** Larger images are refused before any memory is taken for them. */
  maxPixels?: number | undefined;
  /** The part to return, as if it were cut from the whole; everything unless given. */
  part?: PartOf | undefined;
}

/**
 * Pixels around a part that are decoded with it. Where chroma has half the resolution, a pixel's colour
 * depends on the pixels beside it.
 */
const MARGIN = 8;
const UPRIGHT = 1;

/**
 * Decodes JPEG, PNG, WebP, GIF (first frame) and BMP, told apart by their first bytes, and applies the EXIF
 * orientation. The engine must be open; its decoders run on other threads.
 *
 * @param bytes The whole file
 * @throws {DataError} naming the file and what is wrong with it
 */
export async function decodeImage(
  bytes: Uint8Array<ArrayBuffer>,
  options: DecodeOptions,
): Promise<RgbImage> {
  return await onOtherThreads(decoding(bytes, options));
}

/** {@linkcode decodeImage} on the calling thread, which waits for it. */
export function decodeImageSync(
  bytes: Uint8Array<ArrayBuffer>,
  options: DecodeOptions,
): RgbImage {
  return onThisThread(decoding(bytes, options));
}

function* decoding(
  bytes: Uint8Array<ArrayBuffer>,
  { path, maxPixels = DEFAULT_MAX_PIXELS, part }: DecodeOptions,
): ImageWork<RgbImage> {
  let header: ImageHeader;
  try {
    header = readImageHeader(bytes);
  } catch (error) {
    throw new DataError(path, messageOf(error), { cause: error });
  }
  const { width, height } = header;
  const refused = tooLarge(header, maxPixels);
  if (refused !== undefined) throw new DataError(path, refused);
  const turned = header.orientation >= 5;
  const box = part?.(turned ? { width: height, height: width } : { width, height });
  try {
    if (box && header.orientation === UPRIGHT && isPartial(bytes, header)) {
      return yield* decodeJpegPartNative(bytes, box, around(box, header));
    }
    const image = orientRgb(yield* decodePixels(bytes, header), header.orientation);
    return box ? cropRgb(image, box) : image;
  } catch (error) {
    throw new DataError(path, reasonOf(error, header), { cause: error });
  }
}

function isPartial(bytes: Uint8Array, { format, frame }: ImageHeader): boolean {
  return format === "jpeg" && frame !== undefined && canDecodePart(bytes, frame);
}

/** A box with the {@linkcode MARGIN} around it, as far as the image goes. */
function around({ left, top, width, height }: Box, image: ImageHeader): Box {
  const x = Math.max(left - MARGIN, 0), y = Math.max(top - MARGIN, 0);
  return {
    left: x,
    top: y,
    width: Math.min(left + width + MARGIN, image.width) - x,
    height: Math.min(top + height + MARGIN, image.height) - y,
  };
}

function* decodePixels(
  bytes: Uint8Array<ArrayBuffer>,
  header: ImageHeader,
): ImageWork<RgbImage> {
  switch (header.format) {
    case "bmp":
      return decodeBmp(bytes);
    case "gif": {
      const frame = firstGifFrame(bytes);
      const image = yield* decodeImageNative(gifOfFrame(bytes, frame), "gif");
      return onCanvas(image, header, frame, frame.surroundings);
    }
    case "jpeg":
      return yield* decodeImageNative(header.bareCmyk ? withAdobeMarker(bytes) : bytes, "jpeg");
    case "png":
      return yield* decodeImageNative(bytes, "png");
    case "webp": {
      const frame = firstWebpFrame(bytes);
      return onCanvas(
        yield* decodeImageNative(webpOfFrame(bytes, frame), "webp"),
        header,
        frame,
      );
    }
  }
}

/** A frame at its place on the image. */
function onCanvas(
  frame: RgbImage,
  { width, height }: ImageHeader,
  { left, top }: { left: number; top: number },
  surroundings?: Uint8Array,
): RgbImage {
  if (left === 0 && top === 0 && frame.width === width && frame.height === height) return frame;
  return cropRgb(frame, { left: -left, top: -top, width, height }, surroundings);
}

/**
 * The same JPEG with the marker that Adobe's programs write. Four colours are stored inverted by nearly
 * every program; Pillow always reads them so, TensorFlow only where the marker is.
 */
function withAdobeMarker(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  // Marker, length, "Adobe", version 100, two words of flags, no colour transform.
  const marker = [0xff, 0xee, 0, 14, 0x41, 0x64, 0x6f, 0x62, 0x65, 0, 100, 0, 0, 0, 0, 0];
  const marked = new Uint8Array(bytes.length + marker.length);
  marked.set(bytes.subarray(0, 2));
  marked.set(marker, 2);
  marked.set(bytes.subarray(2), 2 + marker.length);
  return marked;
}

/** TensorFlow's messages are long and many-lined: the first line says it. */
function reasonOf(error: unknown, { format }: ImageHeader): string {
  const [message = ""] = messageOf(error).split("\n", 1);
  if (error instanceof RangeError && format === "bmp") return message;
  if (error instanceof RangeError) return `it is cut off or damaged (${NAMES[format]})`;
  return `it is damaged or of a rare kind of ${NAMES[format]} (${message})`;
}

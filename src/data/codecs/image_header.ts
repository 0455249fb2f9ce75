/**
 * The facts of an image's header: format, size and orientation, before anything is decoded.
 *
 * @module
 */
import { readBmpHeader } from "./bmp_header.ts";
import { firstGifFrame } from "./gif_frame.ts";
import { HeaderError } from "./header_error.ts";
import { readJpegHeader, readJpegSize } from "./jpeg_header.ts";
import { readPngHeader, readPngSize } from "./png_header.ts";
import { readWebpHeader, readWebpSize } from "./webp_header.ts";

/** Formats that Lockstep decodes. */
export type ImageFormat = "jpeg" | "png" | "gif" | "bmp" | "webp";

/** Width and height in pixels, as stored: before the orientation is applied. No frame that is decoded is larger. */
export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

/** The facts that are known before decoding. */
export interface ImageHeader extends ImageSize {
  readonly format: ImageFormat;
  /** EXIF orientation, 1–8. */
  readonly orientation: number;
  /** A JPEG of four colours without Adobe's marker, which says how to read them. */
  readonly bareCmyk?: boolean;
  /** The offset of a JPEG's start of frame. */
  readonly frame?: number;
}

/**
 * Reads an image's header. The first bytes decide the format; the file's name doesn't.
 *
 * @throws {HeaderError} with the reason, as the end of a sentence
 */
export function readImageHeader(bytes: Uint8Array): ImageHeader {
  const format = requireFormat(bytes);
  const header = read(READERS[format], bytes);
  if (header === undefined) throw cutOff(format);
  return { format, ...checked(header) };
}

/**
 * Reads the size of an image of which the first bytes are known, as {@linkcode readImageHeader} does.
 *
 * @param bytes The first 16 bytes or more
 * @param isWhole Whether there are no more
 * @returns Nothing when more bytes are needed
 * @throws {HeaderError} with the reason, as the end of a sentence
 */
export function readImageSize(bytes: Uint8Array, isWhole: boolean): ImageSize | undefined {
  const format = requireFormat(bytes);
  const size = read<ImageSize>(SIZE_READERS[format], bytes);
  if (size === undefined && isWhole) throw cutOff(format);
  return size && checked(size);
}

/** Returns the reason why an image is too large, as the end of a sentence; nothing when the image isn't. */
export function tooLarge({ width, height }: ImageSize, maxPixels: number): string | undefined {
  if (width * height <= maxPixels) return undefined;
  return `its ${width} × ${height} pixels are more than data.maxPixels (${maxPixels})`;
}

/** Returns the result of a reader; nothing when the bytes end before. */
function read<T>(reader: Reader<T>, bytes: Uint8Array): T | undefined {
  try {
    return reader(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), bytes);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function cutOff(format: ImageFormat): HeaderError {
  return new HeaderError(`it is cut off within the header of a ${NAMES[format]} file`);
}

function checked<T extends ImageSize>(size: T): T {
  if (size.width >= 1 && size.height >= 1) return size;
  throw new HeaderError(`its header says ${size.width} × ${size.height} pixels`);
}

/** The format of a file that begins so, complete or not; nothing when it is none that Lockstep decodes. */
export function sniffFormat(bytes: Uint8Array): ImageFormat | undefined {
  try {
    return formatOf(bytes);
  } catch (error) {
    if (error instanceof HeaderError) return undefined;
    throw error;
  }
}

/**
 * The format of a file that begins so, complete or not.
 *
 * @param bytes The first 16 bytes or more
 * @throws {HeaderError} with the reason when it is empty, or of none that Lockstep decodes
 */
export function requireFormat(bytes: Uint8Array): ImageFormat {
  if (bytes.length === 0) throw new HeaderError("it is empty");
  return formatOf(bytes);
}

/** The formats' names as people write them. */
export const NAMES: Record<ImageFormat, string> = {
  jpeg: "JPEG",
  png: "PNG",
  gif: "GIF",
  bmp: "BMP",
  webp: "WebP",
};

function formatOf(bytes: Uint8Array): ImageFormat {
  const text = String.fromCharCode(...bytes.subarray(0, 16));
  if (text.startsWith("\xff\xd8\xff")) return "jpeg";
  if (text.startsWith("\x89PNG\r\n\x1a\n")) return "png";
  if (text.startsWith("GIF87a") || text.startsWith("GIF89a")) return "gif";
  if (text.startsWith("RIFF") && text.slice(8, 12) === "WEBP") return "webp";
  if (text.startsWith("BM")) return "bmp";
  const known = KNOWN_STARTS.find(([start, at]) => text.startsWith(start, at));
  throw new HeaderError(
    known
      ? `${known[2]} files are not supported: convert it to JPEG or PNG`
      : "it is not a JPEG, PNG, WebP, GIF or BMP file",
  );
}

/** Other formats that people have: beginning, where it stands, name. */
const KNOWN_STARTS: [string, number, string][] = [
  ["II*\0", 0, "TIFF"],
  ["MM\0*", 0, "TIFF"],
  ["ftypheic", 4, "HEIC"],
  ["ftypmif1", 4, "HEIF"],
  ["ftypavif", 4, "AVIF"],
  ["P5", 0, "PGM"],
  ["P6", 0, "PPM"],
  ["<svg", 0, "SVG"],
  ["%PDF", 0, "PDF"],
];

type Reader<T> = (view: DataView, bytes: Uint8Array) => T;

const READERS: Record<ImageFormat, Reader<Omit<ImageHeader, "format">>> = {
  jpeg: readJpegHeader,
  png: readPngHeader,
  webp: readWebpHeader,
  gif: (view, bytes) => ({ ...readGifSize(view, bytes), orientation: 1 }),
  bmp: (_, bytes) => ({ ...readBmpSize(bytes), orientation: 1 }),
};

const SIZE_READERS: Record<ImageFormat, Reader<ImageSize>> = {
  jpeg: readJpegSize,
  png: readPngSize,
  webp: readWebpSize,
  gif: readGifSize,
  bmp: (_, bytes) => readBmpSize(bytes),
};

function readBmpSize(bytes: Uint8Array): ImageSize {
  const { width, height } = readBmpHeader(bytes);
  return { width, height };
}

/** The canvas; where the first frame is larger, as large as needed, as in Pillow. */
function readGifSize(view: DataView, bytes: Uint8Array): ImageSize {
  const { left, top, width, height } = firstGifFrame(bytes);
  if (width < 1 || height < 1) {
    throw new HeaderError(`it is damaged: its first frame has ${width} × ${height} pixels`);
  }
  return {
    width: Math.max(view.getUint16(6, true), left + width),
    height: Math.max(view.getUint16(8, true), top + height),
  };
}

/**
 * What a picture's header says: format, size and orientation, before anything is decoded.
 *
 * @module
 */
import { exifOrientation, withoutExifMark } from "./exif.ts";

/** Formats that Lockstep decodes. */
export type ImageFormat = "jpeg" | "png" | "gif" | "bmp" | "webp";

/** What is known before decoding. */
export interface ImageHeader {
  readonly format: ImageFormat;
  /** As stored: before the orientation is applied. */
  readonly width: number;
  readonly height: number;
  /** EXIF orientation, 1–8. */
  readonly orientation: number;
  /** A JPEG of four colours without Adobe's marker, which says how to read them. */
  readonly bareCmyk?: boolean;
  /** Where a JPEG's start of frame stands. */
  readonly frame?: number;
}

/** A picture's header is damaged or of a format that isn't supported; the message is the reason. */
export class HeaderError extends Error {}

/**
 * Reads a picture's header. The first bytes decide the format; the file's name doesn't.
 *
 * @throws {HeaderError} with the reason, as the end of a sentence
 */
export function readImageHeader(bytes: Uint8Array): ImageHeader {
  if (bytes.length === 0) throw new HeaderError("it is empty");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const format = formatOf(bytes);
  let header: Omit<ImageHeader, "format">;
  try {
    header = READERS[format](view, bytes);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new HeaderError(`it is cut off within the header of a ${NAMES[format]} file`);
  }
  if (header.width < 1 || header.height < 1) {
    throw new HeaderError(`its header says ${header.width} × ${header.height} pixels`);
  }
  return { format, ...header };
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

/** How people write the formats' names. */
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

type Reader = (view: DataView, bytes: Uint8Array) => Omit<ImageHeader, "format">;

const READERS: Record<ImageFormat, Reader> = {
  jpeg: readJpeg,
  png: readPng,
  webp: readWebp,
  gif: (view) => ({
    width: view.getUint16(6, true),
    height: view.getUint16(8, true),
    orientation: 1,
  }),
  bmp: (view) => {
    const old = view.getUint32(14, true) === 12;
    return {
      width: old ? view.getUint16(18, true) : view.getInt32(18, true),
      // Negative when the first row is the upper one.
      height: Math.abs(old ? view.getUint16(20, true) : view.getInt32(22, true)),
      orientation: 1,
    };
  },
};

/** Walks over a JPEG's segments (ITU-T T.81, B.1.1) up to the pixels. */
function readJpeg(view: DataView, bytes: Uint8Array) {
  let orientation: number | undefined;
  let adobe = false;
  for (let at = 2;;) {
    if (view.getUint8(at) !== 0xff) {
      throw new HeaderError("it is damaged: a JPEG marker is missing");
    }
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) { // padding
      at++;
      continue;
    }
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7)) { // markers without a length
      at += 2;
      continue;
    }
    if (marker === 0xd9 || marker === 0xda) {
      throw new HeaderError("it is damaged: a JPEG file without a size");
    }
    const length = view.getUint16(at + 2);
    if (marker === 0xe1 && orientation === undefined) {
      const segment = bytes.subarray(at + 4, at + 2 + length);
      const tiff = withoutExifMark(segment);
      if (tiff !== segment) orientation = exifOrientation(tiff);
    }
    if (marker === 0xee && text(bytes, at + 4) === "Adob") adobe = true;
    // Start of frame: C0–CF but for C4 (Huffman tables), C8 (reserved) and CC (arithmetic conditioning).
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return {
        width: view.getUint16(at + 7),
        height: view.getUint16(at + 5),
        orientation: orientation ?? 1,
        bareCmyk: view.getUint8(at + 9) === 4 && !adobe,
        frame: at,
      };
    }
    at += 2 + length;
  }
}

/** The first chunk has the size; an `eXIf` chunk may follow anywhere (PNG 1.5 extensions). */
function readPng(view: DataView, bytes: Uint8Array) {
  const width = view.getUint32(16), height = view.getUint32(20);
  let orientation = 1;
  for (let at = 8; at + 12 <= bytes.length; at += 12 + view.getUint32(at)) {
    const kind = text(bytes, at + 4);
    if (kind === "IEND") break;
    if (kind === "eXIf") {
      orientation = exifOrientation(bytes.subarray(at + 8, at + 8 + view.getUint32(at)));
    }
  }
  return { width, height, orientation };
}

/** The first chunk has the size, in one of three ways (RFC 9649); `EXIF` may follow. */
function readWebp(view: DataView, bytes: Uint8Array) {
  const kind = text(bytes, 12);
  const data = 20;
  let width: number, height: number;
  if (kind === "VP8X") {
    width = 1 + (view.getUint32(data + 4, true) & 0xffffff);
    height = 1 + (view.getUint32(data + 6, true) >>> 8);
  } else if (kind === "VP8L") {
    const bits = view.getUint32(data + 1, true);
    width = 1 + (bits & 0x3fff);
    height = 1 + ((bits >>> 14) & 0x3fff);
  } else if (kind === "VP8 ") {
    width = view.getUint16(data + 6, true) & 0x3fff;
    height = view.getUint16(data + 8, true) & 0x3fff;
  } else {
    throw new HeaderError("it is damaged: a WebP file without a picture");
  }
  let orientation = 1;
  for (let at = 12; at + 8 <= bytes.length;) {
    const length = view.getUint32(at + 4, true);
    if (text(bytes, at) === "EXIF") {
      orientation = exifOrientation(withoutExifMark(bytes.subarray(at + 8, at + 8 + length)));
    }
    at += 8 + length + length % 2;
  }
  return { width, height, orientation };
}

function text(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + 4));
}

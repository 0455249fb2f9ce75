/**
 * The header of a JPEG file.
 *
 * @module
 */
import { orientationFrom, withoutExifMark } from "./exif.ts";
import { HeaderError } from "./header_error.ts";

const XMP_MARK = "http://ns.adobe.com/xap/1.0/\0";

const NO_SIZE = "it is damaged: a JPEG file without a size";

const START_OF_SCAN = 0xda;
const END_OF_IMAGE = 0xd9;
const APP1 = 0xe1;
const APP14 = 0xee;

/** The facts of a JPEG's header. */
export interface JpegHeader {
  readonly width: number;
  readonly height: number;
  readonly orientation: number;
  /** A JPEG of four colours without Adobe's marker, which says how to read them. */
  readonly bareCmyk: boolean;
  /** The offset of the start of frame. */
  readonly frame: number;
}

/**
 * Walks over a JPEG's segments (ITU-T T.81, B.1.1) up to the pixels. Metadata may stand before or
 * behind the start of frame.
 *
 * @throws {RangeError} when the file is cut off before the size
 */
export function readJpegHeader(view: DataView, bytes: Uint8Array): JpegHeader {
  let frame: number | undefined;
  let adobe = false;
  let xmp: Uint8Array | undefined;
  const exif: Uint8Array[] = [];
  for (const { marker, at, data } of segments(view, bytes)) {
    if (marker === APP1) {
      const unmarked = withoutExifMark(data);
      if (unmarked !== data) exif.push(exif.length === 0 ? data : unmarked);
      else if (text(data, XMP_MARK.length) === XMP_MARK) xmp = data.subarray(XMP_MARK.length);
    } else if (marker === APP14) {
      if (text(data, 4) === "Adob") adobe = true;
    } else if (isStartOfFrame(marker)) {
      frame ??= at;
    }
  }
  if (frame === undefined) throw new HeaderError(NO_SIZE);
  return {
    ...sizeAt(view, frame),
    orientation: orientationFrom(exif.length > 0 ? joined(exif) : undefined, xmp),
    bareCmyk: view.getUint8(frame + 9) === 4 && !adobe,
    frame,
  };
}

/**
 * The size of a JPEG of which the first bytes are known.
 *
 * @throws {RangeError} when more bytes are needed
 */
export function readJpegSize(view: DataView, bytes: Uint8Array): { width: number; height: number } {
  for (const { marker, at } of segments(view, bytes)) {
    if (isStartOfFrame(marker)) return sizeAt(view, at);
  }
  throw new HeaderError(NO_SIZE);
}

function sizeAt(view: DataView, frame: number): { width: number; height: number } {
  return { width: view.getUint16(frame + 7), height: view.getUint16(frame + 5) };
}

/**
 * The segments with a length, in order, up to the pixels. Bytes between them that are no marker are
 * passed over, as decoders do.
 */
function* segments(view: DataView, bytes: Uint8Array) {
  let framed = false;
  for (let at = 2;;) {
    if (framed && at + 4 > bytes.length) return; // the decoder says that it is cut off
    const marker = view.getUint8(at + 1);
    const isMarker = view.getUint8(at) === 0xff && marker !== 0 && marker !== 0xff;
    if (!isMarker) {
      at++;
      continue;
    }
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) { // markers without a length
      at += 2;
      continue;
    }
    if (marker === START_OF_SCAN || marker === END_OF_IMAGE) return;
    const length = view.getUint16(at + 2);
    yield { marker, at, data: bytes.subarray(at + 4, at + 2 + length) };
    framed ||= isStartOfFrame(marker);
    at += 2 + length;
  }
}

/** C0–CF but for C4 (Huffman tables), C8 (reserved) and CC (arithmetic conditioning). */
function isStartOfFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
}

/** EXIF data above 64 kB go on in another segment. */
function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function text(bytes: Uint8Array, length: number): string {
  return String.fromCharCode(...bytes.subarray(0, length));
}

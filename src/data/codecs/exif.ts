/**
 * The orientation in EXIF data and in XMP.
 *
 * Both are read as Pillow 13 reads them (`Image.getexif()`), oddities included: an image must lie in
 * the same way as in the tools that prepared the data set.
 *
 * @module
 */

const ORIENTATION_TAG = 0x0112;
const UPRIGHT = 1;

/** Values of an EXIF orientation that turn or mirror an image. */
const MIN_TURN = 2;
const MAX_TURN = 8;

/** Byte-order marks with the number behind them, as Pillow accepts them, and whether the low byte is first. */
const HEADERS: Record<string, boolean> = {
  "MM\0\x2a": false,
  "II\x2a\0": true,
  "MM\x2a\0": false, // of careless writers
  "II\0\x2a": true,
  "MM\0\x2b": false, // BigTIFF's mark; Pillow reads the directory as an ordinary one
};

type Reader = (view: DataView, at: number, little: boolean) => number;

/** A type of TIFF values: bytes of one, and how a number is read; no reader: it is no number. */
interface ValueType {
  readonly bytes: number;
  readonly read?: Reader;
}

const LONG: ValueType = { bytes: 4, read: (view, at, little) => view.getUint32(at, little) };

/** The types of TIFF values that Pillow knows, by number (TIFF 6.0, section 2; BigTIFF's 16). */
const TYPES: Record<number, ValueType> = {
  1: { bytes: 1 }, // BYTE: Pillow keeps it as bytes, which are no number
  2: { bytes: 1 }, // ASCII
  3: { bytes: 2, read: (view, at, little) => view.getUint16(at, little) },
  4: LONG,
  5: {
    bytes: 8,
    read: (view, at, little) => view.getUint32(at, little) / view.getUint32(at + 4, little),
  },
  6: { bytes: 1, read: (view, at) => view.getInt8(at) },
  7: { bytes: 1 }, // UNDEFINED
  8: { bytes: 2, read: (view, at, little) => view.getInt16(at, little) },
  9: { bytes: 4, read: (view, at, little) => view.getInt32(at, little) },
  10: {
    bytes: 8,
    read: (view, at, little) => view.getInt32(at, little) / view.getInt32(at + 4, little),
  },
  11: { bytes: 4, read: (view, at, little) => view.getFloat32(at, little) },
  12: { bytes: 8, read: (view, at, little) => view.getFloat64(at, little) },
  13: LONG, // IFD
  16: { bytes: 8, read: (view, at, little) => Number(view.getBigUint64(at, little)) },
};

/**
 * Reads the orientation from a TIFF structure, as EXIF data are (Exif 2.3, section 4.6).
 *
 * @param exif The data, with or without the `Exif\0\0` that stands before them in a JPEG
 * @returns 1–8; 1 (upright) for other values and where the data are damaged; `undefined` where they
 * have no orientation, so that XMP may say it
 */
export function exifOrientation(exif: Uint8Array): number | undefined {
  const tiff = withoutExifMarks(exif);
  if (tiff.length === 0) return undefined;
  const little = HEADERS[String.fromCharCode(...tiff.subarray(0, 4))];
  if (little === undefined || tiff.length < 8) return UPRIGHT;
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const value = new Directory(view, little).value(ORIENTATION_TAG);
  if (value === undefined) return undefined;
  return value >= MIN_TURN && value <= MAX_TURN && Number.isInteger(value) ? value : UPRIGHT;
}

/** The first directory of a TIFF structure. */
class Directory {
  constructor(readonly view: DataView, readonly little: boolean) {}

  /**
   * The first value of a tag, NaN when it is no number.
   *
   * An entry that can't be used is passed over, for a later one of the same tag; one whose values lie
   * outside of the data ends the search, as it does in Pillow.
   */
  value(wanted: number): number | undefined {
    const { view, little } = this;
    const directory = view.getUint32(4, little);
    if (directory + 2 > view.byteLength) return undefined;
    const entries = view.getUint16(directory, little);
    let outside = 0;
    for (let entry = 0; entry < entries; entry++) {
      const at = directory + 2 + entry * 12;
      if (at + 12 > view.byteLength) return undefined; // cut off
      const type = TYPES[view.getUint16(at + 2, little)];
      if (type === undefined) continue;
      const bytes = view.getUint32(at + 4, little) * type.bytes;
      let place = at + 8;
      if (bytes > 4) {
        outside += bytes;
        if (outside > view.byteLength) continue; // more than the file can hold
        place = view.getUint32(at + 8, little);
        if (place + bytes > view.byteLength) return undefined;
      }
      if (bytes === 0 || view.getUint16(at, little) !== wanted) continue;
      return type.read?.(view, place, little) ?? NaN;
    }
    return undefined;
  }
}

/** EXIF data without the `Exif\0\0` that JPEG, and some writers of WebP, put before it, once or twice. */
function withoutExifMarks(bytes: Uint8Array): Uint8Array {
  const once = withoutExifMark(bytes);
  return once === bytes ? bytes : withoutExifMark(once);
}

/** The data behind `Exif\0\0`; the data themselves when they don't begin so. */
export function withoutExifMark(bytes: Uint8Array): Uint8Array {
  const marked = [0x45, 0x78, 0x69, 0x66, 0, 0].every((byte, i) => bytes[i] === byte);
  return marked ? bytes.subarray(6) : bytes;
}

/**
 * Reads the orientation from an XMP packet: `tiff:Orientation` as an attribute or an element.
 *
 * @param packet XML; of bytes, each counts as a character
 * @returns One digit; nothing when there is none
 */
export function xmpOrientation(packet: string | Uint8Array): number | undefined {
  const text = typeof packet === "string" ? packet : new TextDecoder("latin1").decode(packet);
  const digit = /tiff:Orientation(?:="|>)([0-9])/.exec(text)?.[1];
  return digit === undefined ? undefined : Number(digit);
}

/**
 * The orientation that a file's metadata say. EXIF's comes first; XMP's counts where EXIF has none.
 *
 * @param exif EXIF data, if there are any
 * @param xmp An XMP packet, if there is one
 * @returns 1–8
 */
export function orientationFrom(
  exif: Uint8Array | undefined,
  xmp: string | Uint8Array | undefined,
): number {
  const own = exif && exifOrientation(exif);
  if (own !== undefined) return own;
  const other = xmp && xmpOrientation(xmp);
  return other && other >= MIN_TURN && other <= MAX_TURN ? other : UPRIGHT;
}

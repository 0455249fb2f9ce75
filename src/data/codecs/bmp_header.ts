/**
 * The header of a BMP file.
 *
 * @module
 */
import { HeaderError } from "./header_error.ts";

/** Ways to store the pixels that can be read. */
export type BmpEncoding = "plain" | "masks" | "rle8" | "rle4";

/** The facts of a BMP's header that decoding needs. */
export interface BmpHeader {
  readonly width: number;
  readonly height: number;
  /** True if the first row is the upper one. */
  readonly topDown: boolean;
  /** Bits per pixel. */
  readonly bits: number;
  readonly encoding: BmpEncoding;
  /** The masks of red, green and blue in a pixel of 16 to 32 bits. */
  readonly masks: readonly [red: number, green: number, blue: number];
  /** Colours of a palette, blue, green and red, `step` bytes apart. */
  readonly palette: { readonly at: number; readonly colors: number; readonly step: number };
  /** The offset of the pixels. */
  readonly pixels: number;
}

const FILE_HEADER = 14;
/** OS/2 1.x: two bytes for each number. */
const CORE_HEADER = 12;
/** The sizes of the headers that there are, from OS/2 1.x to Windows' version 5. */
const HEADERS = [CORE_HEADER, 40, 52, 56, 64, 108, 124];
const ENCODINGS: Record<number, BmpEncoding> = { 0: "plain", 1: "rle8", 2: "rle4", 3: "masks" };
/** Colours of a palette that Pillow can hold. */
const MAX_COLORS = 256;

/** Masks of red, green, blue, alpha that Pillow reads, by bits per pixel. */
const KNOWN_MASKS: Record<number, readonly (readonly number[])[]> = {
  16: [[0xf800, 0x7e0, 0x1f], [0x7c00, 0x3e0, 0x1f]],
  24: [[0xff0000, 0xff00, 0xff]],
  32: [
    [0xff0000, 0xff00, 0xff, 0],
    [0xff000000, 0xff0000, 0xff00, 0],
    [0xff000000, 0xff00, 0xff, 0],
    [0xff000000, 0xff0000, 0xff00, 0xff],
    [0xff, 0xff00, 0xff0000, 0xff000000],
    [0xff0000, 0xff00, 0xff, 0xff000000],
    [0xff000000, 0xff00, 0xff, 0xff0000],
    [0, 0, 0, 0],
  ],
};
const USUAL_MASKS = [0xff0000, 0xff00, 0xff] as const;
/** Of 16 bits without masks: five bits each. */
const MASKS_OF_16_BITS = [0x7c00, 0x3e0, 0x1f] as const;

/**
 * Reads a BMP's header, as Pillow 13 understands it.
 *
 * @throws {RangeError} when the file is cut off
 * @throws {HeaderError} when the variant isn't supported
 */
export function readBmpHeader(bytes: Uint8Array): BmpHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = view.getUint32(FILE_HEADER, true);
  if (!HEADERS.includes(size)) {
    throw new HeaderError(`BMP files with a header of ${size} bytes are not supported: ${CURE}`);
  }
  const core = size === CORE_HEADER;
  const bits = view.getUint16(core ? 24 : 28, true);
  const compression = core ? 0 : view.getUint32(30, true);
  const encoding = encodingOf(bits, compression);
  const signedHeight = core ? view.getUint16(20, true) : view.getInt32(22, true);
  // With the oldest of the long headers the masks follow it.
  const behind = FILE_HEADER + size + (encoding === "masks" && size === 40 ? 12 : 0);
  return {
    width: core ? view.getUint16(18, true) : view.getInt32(18, true),
    height: Math.abs(signedHeight),
    topDown: signedHeight < 0,
    bits,
    encoding,
    masks: encoding === "masks" ? masksOf(view, size, bits) : usualMasks(bits),
    ...places(view, { size, core, bits, behind }),
  };
}

const CURE = "convert it to PNG";

function encodingOf(bits: number, compression: number): BmpEncoding {
  const encoding = ENCODINGS[compression];
  const allowed = {
    plain: [1, 4, 8, 16, 24, 32],
    masks: [16, 24, 32],
    rle8: [8],
    rle4: [4],
  };
  if (encoding && allowed[encoding].includes(bits)) return encoding;
  throw new HeaderError(
    `BMP files of ${bits} bits per pixel and compression ${compression} are not supported: ${CURE}`,
  );
}

/**
 * Returns the offsets of palette and pixels.
 *
 * The palette always follows the header. An offset of the pixels that points
 * to the palette, as some writers leave it, means what comes after the palette, and so does none.
 */
function places(
  view: DataView,
  { size, core, bits, behind }: { size: number; core: boolean; bits: number; behind: number },
): Pick<BmpHeader, "palette" | "pixels"> {
  const offset = view.getUint32(10, true);
  const step = core ? 3 : 4;
  const indexed = bits <= 8;
  const colors = indexed ? (core ? 0 : view.getUint32(46, true)) || 2 ** bits : 0;
  if (colors > MAX_COLORS) {
    throw new HeaderError(
      `BMP files with a palette of ${colors} colours are not supported: ${CURE}`,
    );
  }
  const palette = { at: behind, colors, step };
  const after = behind + colors * step;
  const pixels = offset === 0 || (indexed && offset === FILE_HEADER + size) ? after : offset;
  return { palette, pixels };
}

function usualMasks(bits: number): BmpHeader["masks"] {
  return bits === 16 ? MASKS_OF_16_BITS : USUAL_MASKS;
}

function masksOf(view: DataView, size: number, bits: number): BmpHeader["masks"] {
  const mask = (channel: number) => view.getUint32(54 + 4 * channel, true);
  const alpha = size >= 56 ? mask(3) : 0;
  const found = [mask(0), mask(1), mask(2), alpha] as const;
  const known = KNOWN_MASKS[bits]?.some((masks) => masks.every((value, i) => value === found[i]));
  if (!known) {
    const shown = found.map((value) => value.toString(16)).join(" ");
    throw new HeaderError(
      `BMP files of ${bits} bits per pixel with the masks ${shown} are not supported: ${CURE}`,
    );
  }
  const [red, green, blue] = found;
  return red === 0 ? USUAL_MASKS : [red, green, blue];
}

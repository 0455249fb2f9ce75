/**
 * The first frame of a GIF, and a GIF of its own with it.
 *
 * @module
 */

const IMAGE = 0x2c;
const EXTENSION = 0x21;
const TRAILER = 0x3b;

const GRAPHIC_CONTROL = 0xf9;

/** A frame, and where it stands on the image. */
export interface GifFrame {
  /** The offset of the frame in the whole file. */
  readonly at: number;
  /** Bytes of the file's header with the colour table. */
  readonly header: number;
  readonly width: number;
  readonly height: number;
  /** Pixels from the image's top left corner. */
  readonly left: number;
  readonly top: number;
  /** Red, green and blue around the frame. */
  readonly surroundings: Uint8Array;
}

/**
 * Finds the first frame. Around a small frame Pillow shows the transparent colour, else the palette's
 * first.
 *
 * @param bytes A GIF file, at least up to the frame's own header (GIF89a, section 17 on)
 * @throws {RangeError} when the file is cut off before, or has no frame
 */
export function firstGifFrame(bytes: Uint8Array): GifFrame {
  const header = 13 + colorTableBytes(byteAt(bytes, 10));
  let at = header;
  let transparent = 0;
  while (byteAt(bytes, at) === EXTENSION) {
    // Label, length 4, flags (the last bit: there is a transparent colour), two bytes of delay, the colour.
    if (byteAt(bytes, at + 1) === GRAPHIC_CONTROL && byteAt(bytes, at + 3) & 1) {
      transparent = byteAt(bytes, at + 6);
    }
    at = skipSubBlocks(bytes, at + 2);
  }
  if (byteAt(bytes, at) !== IMAGE) throw new RangeError("no frame");
  const localTable = colorTableBytes(byteAt(bytes, at + 9));
  const color = (localTable ? at + 10 : 13) + 3 * transparent;
  const word = (place: number) => byteAt(bytes, place) + 256 * byteAt(bytes, place + 1);
  return {
    at,
    header,
    left: word(at + 1),
    top: word(at + 3),
    width: word(at + 5),
    height: word(at + 7),
    surroundings: bytes.subarray(color, color + 3),
  };
}

/**
 * Copies the header and a frame. The other frames would only cost time and memory. Without the extensions no
 * colour is transparent, which is how Pillow turns a GIF to RGB.
 *
 * @param bytes A whole GIF file
 * @returns A GIF file of the frame alone, as large as the frame
 * @throws {RangeError} when the file is cut off before the frame's end
 */
export function gifOfFrame(
  bytes: Uint8Array,
  { at, header }: GifFrame,
): Uint8Array<ArrayBuffer> {
  const localTable = colorTableBytes(byteAt(bytes, at + 9));
  const end = skipSubBlocks(bytes, at + 10 + localTable + 1);
  const frame = new Uint8Array(header + end - at + 1);
  frame.set(bytes.subarray(0, header));
  frame.set(bytes.subarray(at + 5, at + 9), 6); // the frame's size for the image's
  frame.set(bytes.subarray(at, end), header);
  frame.fill(0, header + 1, header + 5); // at its top left corner
  frame[frame.length - 1] = TRAILER;
  return frame;
}

/** Bytes of the colour table that a packed field announces. */
function colorTableBytes(packed: number): number {
  return packed & 0x80 ? 3 * 2 ** ((packed & 7) + 1) : 0;
}

function skipSubBlocks(bytes: Uint8Array, at: number): number {
  for (;;) {
    const length = byteAt(bytes, at);
    if (length === 0) return at + 1;
    at += 1 + length;
  }
}

function byteAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw new RangeError("cut off");
  return byte;
}

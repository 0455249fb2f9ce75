/**
 * The first frame of a GIF as a GIF of its own.
 *
 * @module
 */

const IMAGE = 0x2c;
const EXTENSION = 0x21;
const TRAILER = 0x3b;

/**
 * Copies the header and the first frame. The other frames would only cost time and memory; without the
 * extensions no colour is transparent, which is how Pillow turns a GIF to RGB.
 *
 * @param bytes A whole GIF file (GIF89a, section 17 on)
 * @throws {RangeError} when the file is cut off before the frame's end, or has none
 */
export function firstGifFrame(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const header = 13 + colorTableBytes(byteAt(bytes, 10));
  let at = header;
  while (byteAt(bytes, at) === EXTENSION) at = skipSubBlocks(bytes, at + 2);
  if (byteAt(bytes, at) !== IMAGE) throw new RangeError("no frame");
  const data = at + 10 + colorTableBytes(byteAt(bytes, at + 9)) + 1;
  const end = skipSubBlocks(bytes, data);
  const frame = new Uint8Array(header + end - at + 1);
  frame.set(bytes.subarray(0, header));
  frame.set(bytes.subarray(at, end), header);
  frame[frame.length - 1] = TRAILER;
  return frame;
}

/** Bytes of the colour table that a packed field announces. */
function colorTableBytes(packed: number): number {
  return packed & 0x80 ? 3 * 2 ** ((packed & 7) + 1) : 0;
}

function skipSubBlocks(bytes: Uint8Array, at: number): number {
  while (byteAt(bytes, at) !== 0) at += 1 + bytes[at];
  return at + 1;
}

function byteAt(bytes: Uint8Array, at: number): number {
  if (at >= bytes.length) throw new RangeError("cut off");
  return bytes[at];
}

/**
 * Run lengths of BMP files.
 *
 * @module
 */
import type { BmpHeader } from "./bmp_header.ts";

/** The byte behind a zero: ends a row, ends the image, skips pixels; others count pixels as they are. */
const END_OF_LINE = 0;
const END_OF_BITMAP = 1;
const DELTA = 2;

/**
 * Decodes the run lengths of 4 or 8 bits, as Pillow 13 does: skipped pixels have index 0.
 *
 * @returns The indices [height, width], rows in the file's order
 * @throws {RangeError} when there are fewer than the image has pixels
 */
export function decodeBmpRuns(bytes: Uint8Array, header: BmpHeader): Uint8Array {
  const { width, height, pixels, encoding } = header;
  const half = encoding === "rle4";
  const data = new Uint8Array(width * height);
  let at = pixels, to = 0, x = 0;
  const nibble = (byte: number, index: number) => index % 2 === 0 ? byte >> 4 : byte & 15;
  while (to < data.length && at + 1 < bytes.length) {
    const count = bytes[at]!, value = bytes[at + 1]!;
    at += 2;
    if (count > 0) {
      const room = Math.min(count, Math.max(width - x, 0), data.length - to);
      for (let i = 0; i < room; i++) data[to++] = half ? nibble(value, i) : value;
      x += Math.min(count, Math.max(width - x, 0));
    } else if (value === END_OF_LINE) {
      to = Math.min(Math.ceil(to / width) * width, data.length);
      x = 0;
    } else if (value === END_OF_BITMAP) {
      break;
    } else if (value === DELTA) {
      if (at + 2 > bytes.length) break;
      to = Math.min(to + bytes[at]! + bytes[at + 1]! * width, data.length);
      at += 2;
      x = to % width;
    } else {
      const wanted = Math.min(value, data.length - to);
      const length = half ? Math.ceil(wanted / 2) : wanted;
      if (at + length > bytes.length) break;
      for (let i = 0; i < wanted; i++) {
        data[to++] = half ? nibble(bytes[at + (i >> 1)]!, i) : bytes[at + i]!;
      }
      at += length;
      x += value;
      if (at % 2 !== 0) at++;
    }
  }
  if (to < data.length) throw new RangeError("it is cut off: a BMP file without all of its pixels");
  return data;
}

/**
 * Uncompressed BMP files. TensorFlow's decoder takes the palette's indices for grey levels, so this one
 * decodes them.
 *
 * @module
 */
import type { RgbImage } from "./rgb_image.ts";

/** Values of the header's compression field. */
const UNCOMPRESSED = 0;
const BIT_FIELDS = 3;

/**
 * Decodes a BMP of 1, 4, 8 (palette), 24 or 32 bits per pixel; an alpha channel is left out.
 *
 * @param bytes A whole file, whose size fits in memory
 * @throws {RangeError} when the file is cut off, or with the reason in the message when the variant isn't
 * supported
 */
export function decodeBmp(bytes: Uint8Array): RgbImage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const pixels = view.getUint32(10, true);
  const headerBytes = view.getUint32(14, true);
  const old = headerBytes === 12;
  const width = old ? view.getUint16(18, true) : view.getInt32(18, true);
  const signedHeight = old ? view.getUint16(20, true) : view.getInt32(22, true);
  const height = Math.abs(signedHeight);
  const bits = view.getUint16(old ? 24 : 28, true);
  const compression = old ? UNCOMPRESSED : view.getUint32(30, true);
  requireSupported(view, bits, compression);

  const stride = Math.ceil(width * bits / 32) * 4;
  if (pixels + stride * height > bytes.length) {
    throw new RangeError("it is cut off: a BMP file without all of its pixels");
  }
  const palette = bytes.subarray(14 + headerBytes, pixels);
  const entry = old ? 3 : 4;
  const data = new Uint8Array(width * height * 3);
  for (let y = 0, to = 0; y < height; y++) {
    const row = pixels + (signedHeight < 0 ? y : height - 1 - y) * stride;
    for (let x = 0; x < width; x++, to += 3) {
      let from = row + x * bits / 8;
      let source = bytes;
      if (bits <= 8) {
        const shift = 8 - bits - (x * bits) % 8;
        from = ((bytes[Math.floor(from)] >> shift) & (2 ** bits - 1)) * entry;
        source = palette; // an index beyond it reads as black
      }
      data[to] = source[from + 2];
      data[to + 1] = source[from + 1];
      data[to + 2] = source[from];
    }
  }
  return { width, height, data };
}

function requireSupported(view: DataView, bits: number, compression: number): void {
  const plain = [1, 4, 8, 24, 32].includes(bits) && compression === UNCOMPRESSED;
  const usualFields = bits === 32 && compression === BIT_FIELDS &&
    view.getUint32(54, true) === 0xff0000 && view.getUint32(58, true) === 0xff00 &&
    view.getUint32(62, true) === 0xff;
  if (!plain && !usualFields) {
    throw new RangeError(
      `BMP files of ${bits} bits per pixel and compression ${compression} are not supported: ` +
        "convert it to PNG",
    );
  }
}

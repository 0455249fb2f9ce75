/**
 * BMP files. TensorFlow's decoder takes the palette's indices for grey levels and knows neither masks nor
 * run lengths, so this one decodes them.
 *
 * @module
 */
import { type BmpHeader, readBmpHeader } from "./bmp_header.ts";
import { decodeBmpRuns } from "./bmp_runs.ts";
import type { RgbImage } from "./rgb_image.ts";

/**
 * Decodes a BMP of 1, 4, 8 (palette, run lengths too), 16, 24 or 32 bits per pixel; an alpha channel is
 * left out.
 *
 * @param bytes A whole file, whose size fits in memory
 * @throws {RangeError} when the file is cut off
 * @throws {HeaderError} when the variant isn't supported
 */
export function decodeBmp(bytes: Uint8Array): RgbImage {
  const header = readBmpHeader(bytes);
  const { width, height, bits, encoding } = header;
  if (encoding === "rle8" || encoding === "rle4") {
    const indices = decodeBmpRuns(bytes, header);
    const color = paletteOf(bytes, header);
    const data = new Uint8Array(width * height * 3);
    eachRow(header, (y, row) => {
      for (let x = 0; x < width; x++) {
        data.set(color(indices[row * width + x]!), (y * width + x) * 3);
      }
    });
    return { width, height, data };
  }
  const stride = Math.ceil(width * bits / 32) * 4;
  // The last row's padding may be missing.
  const end = header.pixels + stride * (height - 1) + Math.ceil(width * bits / 8);
  if (end > bytes.length) {
    throw new RangeError("it is cut off: a BMP file without all of its pixels");
  }
  const data = new Uint8Array(width * height * 3);
  const readRow = bits <= 8 ? indexedRow(bytes, header) : colorRow(bytes, header);
  eachRow(header, (y, row) => readRow(header.pixels + row * stride, data, y * width * 3));
  return { width, height, data };
}

/** Calls `action` with each row of the image from the top and its row in the file. */
function eachRow({ height, topDown }: BmpHeader, action: (y: number, row: number) => void): void {
  for (let y = 0; y < height; y++) action(y, topDown ? y : height - 1 - y);
}

type ReadRow = (from: number, data: Uint8Array, to: number) => void;

/** The colour of an index; of one beyond the palette black. */
function paletteOf(bytes: Uint8Array, { palette: { at, colors, step } }: BmpHeader) {
  const table = new Uint8Array(256 * 3);
  for (let index = 0; index < colors; index++) {
    for (let channel = 0; channel < 3; channel++) {
      table[index * 3 + channel] = bytes[at + index * step + 2 - channel] ?? 0;
    }
  }
  return (index: number) => table.subarray(index * 3, index * 3 + 3);
}

function indexedRow(bytes: Uint8Array, header: BmpHeader): ReadRow {
  const color = paletteOf(bytes, header);
  const { width, bits } = header;
  const perByte = 8 / bits, mask = 2 ** bits - 1;
  return (from, data, to) => {
    for (let x = 0; x < width; x++) {
      const shift = 8 - bits - (x % perByte) * bits;
      data.set(color((bytes[from + Math.floor(x / perByte)]! >> shift) & mask), to + x * 3);
    }
  };
}

function colorRow(bytes: Uint8Array, { width, bits, masks }: BmpHeader): ReadRow {
  const step = bits / 8;
  if (step === 2) return shortRow(bytes, width, masks);
  const byteOf = (mask: number) => (31 - Math.clz32(mask)) >> 3;
  const red = byteOf(masks[0]), green = byteOf(masks[1]), blue = byteOf(masks[2]);
  return (from, data, to) => {
    for (let x = 0; x < width; x++, from += step, to += 3) {
      data[to] = bytes[from + red]!;
      data[to + 1] = bytes[from + green]!;
      data[to + 2] = bytes[from + blue]!;
    }
  };
}

/** Pixels of 16 bits: five or six bits a channel, spread over 0 to 255. */
function shortRow(bytes: Uint8Array, width: number, masks: BmpHeader["masks"]): ReadRow {
  const channels = masks.map((mask) => {
    const shift = 31 - Math.clz32(mask & -mask);
    return { shift, most: mask >>> shift };
  });
  return (from, data, to) => {
    for (let x = 0; x < width; x++, from += 2) {
      const pixel = bytes[from]! + 256 * bytes[from + 1]!;
      for (const { shift, most } of channels) {
        data[to++] = Math.floor(((pixel >> shift) & most) * 255 / most);
      }
    }
  };
}

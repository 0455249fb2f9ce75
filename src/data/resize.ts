/**
 * Antialiased bilinear resizing of 8-bit pictures, equal to Pillow 13's to the bit: torchvision's models
 * were trained on this filter.
 *
 * Each output pixel is a weighted mean of the input pixels under a triangle, which is as wide as an output
 * pixel when the picture shrinks and as an input pixel when it grows. Both axes are done one after the
 * other; between them pixels are rounded to 8 bits. Weights are fixed-point numbers of 22 bits.
 *
 * @module
 */
import type { Box, RgbImage } from "./rgb_image.ts";

/** 32 bits less 8 for the pixel and 2 for sums that stray beyond it. */
const WEIGHT_BITS = 22;
const HALF = 1 << (WEIGHT_BITS - 1);

/** For each output position along one axis: which input positions count, and by how much. */
interface AxisWeights {
  /** First input position of each output position. */
  first: Int32Array;
  /** How many input positions count. */
  count: Int32Array;
  /** `taps` weights per output position, of which `count` are used. */
  weights: Int32Array;
  taps: number;
}

/**
 * Resizes a picture, or a part of it as if it were cropped before.
 *
 * @param width Output width in pixels
 * @param height Output height in pixels
 * @param box The part to resize, inside of the picture; everything unless given
 * @returns The picture; its pixels are the given ones when there is nothing to do
 */
export function resizeRgb(
  image: RgbImage,
  width: number,
  height: number,
  box: Box = { left: 0, top: 0, width: image.width, height: image.height },
): RgbImage {
  const offset = (box.top * image.width + box.left) * 3;
  const stride = image.width * 3;
  const part: Rows = {
    data: image.data.subarray(offset, offset + (box.height - 1) * stride + box.width * 3),
    stride,
    width: box.width,
    height: box.height,
  };
  const { data } = columnsFirst(part, width, height)
    ? resizeX(resizeY(part, height), width)
    : resizeY(resizeX(part, width), height);
  return { width, height, data: data.length === width * height * 3 ? data : packed(part) };
}

/** Rows of pixels, `stride` bytes apart. */
interface Rows {
  data: Uint8Array;
  stride: number;
  width: number;
  height: number;
}

/**
 * Whether Pillow resizes along y before x: since Pillow 13, when that takes away more than twice as many
 * rows as columns. (The order shows in the last bit. Older ones always began with x.)
 */
function columnsFirst(part: Rows, width: number, height: number): boolean {
  return height < part.height && part.height - height > 2 * (part.width - width);
}

function resizeX(rows: Rows, width: number): Rows {
  if (width === rows.width) return rows;
  const data = resizeRows(rows.data, rows.stride, rows.height, axisWeights(rows.width, width));
  return { data, stride: width * 3, width, height: rows.height };
}

function resizeY(rows: Rows, height: number): Rows {
  if (height === rows.height) return rows;
  const stride = rows.width * 3;
  const data = resizeColumns(rows.data, rows.stride, stride, axisWeights(rows.height, height));
  return { data, stride, width: rows.width, height };
}

/** Resizes along x: `rows` rows of `stride` bytes each become rows of as many pixels as there are weights. */
function resizeRows(
  source: Uint8Array,
  stride: number,
  rows: number,
  { first, count, weights, taps }: AxisWeights,
): Uint8Array {
  const width = first.length;
  const output = new Uint8Array(rows * width * 3);
  for (let y = 0, at = 0; y < rows; y++) {
    const row = y * stride;
    for (let x = 0; x < width; x++, at += 3) {
      let red = HALF, green = HALF, blue = HALF;
      let from = row + first[x] * 3;
      const last = x * taps + count[x];
      for (let tap = x * taps; tap < last; tap++, from += 3) {
        const weight = weights[tap];
        red = (red + Math.imul(weight, source[from])) | 0;
        green = (green + Math.imul(weight, source[from + 1])) | 0;
        blue = (blue + Math.imul(weight, source[from + 2])) | 0;
      }
      // The weights of one position add up to 1 within rounding, so sums stay within 0–255.
      output[at] = red >> WEIGHT_BITS;
      output[at + 1] = green >> WEIGHT_BITS;
      output[at + 2] = blue >> WEIGHT_BITS;
    }
  }
  return output;
}

/** Resizes along y: rows of `bytes` bytes, `stride` apart. */
function resizeColumns(
  source: Uint8Array,
  stride: number,
  bytes: number,
  { first, count, weights, taps }: AxisWeights,
): Uint8Array {
  const height = first.length;
  const output = new Uint8Array(height * bytes);
  const sums = new Int32Array(bytes);
  for (let y = 0; y < height; y++) {
    sums.fill(HALF);
    for (let tap = 0; tap < count[y]; tap++) {
      const weight = weights[y * taps + tap];
      const from = (first[y] + tap) * stride;
      for (let i = 0; i < bytes; i++) {
        sums[i] = (sums[i] + Math.imul(weight, source[from + i])) | 0;
      }
    }
    const at = y * bytes;
    for (let i = 0; i < bytes; i++) output[at + i] = sums[i] >> WEIGHT_BITS;
  }
  return output;
}

function packed({ data, stride, width, height }: Rows): Uint8Array {
  const bytes = width * 3;
  const output = new Uint8Array(height * bytes);
  for (let y = 0; y < height; y++) {
    output.set(data.subarray(y * stride, y * stride + bytes), y * bytes);
  }
  return output;
}

/** Random crops make many geometries; those of validation pictures come again and again. */
const CACHED_AXES = 256;
const cache = new Map<number, AxisWeights>();

function axisWeights(from: number, to: number): AxisWeights {
  const key = from * 0x1_0000_0000 + to;
  let axis = cache.get(key);
  if (axis === undefined) {
    axis = computeAxis(from, to);
    if (cache.size >= CACHED_AXES) cache.delete(cache.keys().next().value!);
    cache.set(key, axis);
  }
  return axis;
}

function computeAxis(from: number, to: number): AxisWeights {
  const scale = from / to;
  const support = Math.max(scale, 1);
  const taps = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(to), count = new Int32Array(to);
  const weights = new Int32Array(to * taps);
  const triangle = new Float64Array(taps);
  for (let position = 0; position < to; position++) {
    const center = (position + 0.5) * scale;
    const begin = Math.max(Math.trunc(center - support + 0.5), 0);
    const end = Math.min(Math.trunc(center + support + 0.5), from);
    let sum = 0;
    for (let i = begin; i < end; i++) {
      // The product with 1 / support, rather than a quotient, decides the last bit.
      const height = Math.max(1 - Math.abs((i - center + 0.5) * (1 / support)), 0);
      triangle[i - begin] = height;
      sum += height;
    }
    first[position] = begin;
    count[position] = end - begin;
    for (let i = 0; i < end - begin; i++) {
      weights[position * taps + i] = Math.trunc(0.5 + (triangle[i] / sum) * (1 << WEIGHT_BITS));
    }
  }
  return { first, count, weights, taps };
}

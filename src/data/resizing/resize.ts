/**
 * Antialiased resizing of 8-bit images, equal to Pillow 13's to the bit: torchvision's models were trained
 * on its bilinear filter.
 *
 * Each output pixel is a weighted mean of the input pixels under a filter (resize_filter.ts), which is
 * stretched to output pixels when the image shrinks and to input pixels when it grows. Both axes are done one after the
 * other; between them pixels are rounded to 8 bits. Weights are fixed-point numbers of 22 bits.
 *
 * @module
 */
import { type Axis, axisWeights } from "./resize_axis.ts";
import { type FilterName, type Interpolation, NEAREST } from "./resize_filter.ts";
import { RESIZE_CODE } from "./resize_code.ts";
import { type Box, cropRgb, type RgbImage } from "../codecs/rgb_image.ts";

/** The passes, in memory of their own (resize.wat). */
interface Passes {
  readonly memory: WebAssembly.Memory;
  alongX(
    source: number,
    stride: number,
    rows: number,
    axis: number,
    record: number,
    width: number,
    result: number,
  ): void;
  alongY(
    source: number,
    stride: number,
    bytes: number,
    axis: number,
    record: number,
    height: number,
    result: number,
    resultStride: number,
  ): void;
}

/** Rows of pixels in JavaScript's memory, `stride` bytes apart. */
interface Rows {
  readonly data: Uint8Array;
  readonly stride: number;
  readonly width: number;
  readonly height: number;
}

/** Bytes of a source that are in the passes' memory at a time. */
const BAND_BYTES = 2 ** 20;
/** Bytes of the passes' memory that are kept for the next image; a larger one gets memory of its own. */
const KEPT_BYTES = 32 * 2 ** 20;
const PAGE_BYTES = 65536;
/** The bytes that the passes read and write behind a row. */
const SLACK_BYTES = 16;

/**
 * Resizes an image, or a part of it as if it were cropped before.
 *
 * @param width Output width in pixels
 * @param height Output height in pixels
 * @param box The part to resize, inside of the image; everything unless given
 * @param interpolation The filter, or `nearest`
 * @returns The image; its pixels are the given ones when there is nothing to do
 */
export function resizeRgb(
  image: RgbImage,
  width: number,
  height: number,
  box: Box = { left: 0, top: 0, width: image.width, height: image.height },
  interpolation: Interpolation = "bilinear",
): RgbImage {
  const offset = (box.top * image.width + box.left) * 3;
  const stride = image.width * 3;
  const part: Rows = {
    data: image.data.subarray(offset, offset + (box.height - 1) * stride + box.width * 3),
    stride,
    width: box.width,
    height: box.height,
  };
  if (width !== part.width || height !== part.height) {
    if (isNearest(interpolation)) {
      return { width, height, data: resizeNearest(part, width, height) };
    }
    return {
      width,
      height,
      data: columnsFirst(part, width, height)
        ? resizeYThenX(part, width, height, interpolation)
        : resizeXThenY(part, width, height, interpolation),
    };
  }
  const whole = part.data.length === width * height * 3;
  return whole ? { width, height, data: part.data } : cropRgb(image, box);
}

function isNearest(name: Interpolation): name is (typeof NEAREST)[number] {
  return (NEAREST as readonly string[]).includes(name);
}

/** Takes the input pixel at each output pixel's middle. */
function resizeNearest({ data, stride, ...part }: Rows, width: number, height: number): Uint8Array {
  const columns = nearestPlaces(part.width, width).map((column) => column * 3);
  const rows = nearestPlaces(part.height, height);
  const result = new Uint8Array(width * height * 3);
  let to = 0;
  for (const row of rows) {
    for (const column of columns) {
      const from = row * stride + column;
      result[to++] = data[from]!;
      result[to++] = data[from + 1]!;
      result[to++] = data[from + 2]!;
    }
  }
  return result;
}

/** Added up step by step, as Pillow does: products would differ in the last bit. */
function nearestPlaces(from: number, to: number): Int32Array {
  const step = from / to;
  const found = new Int32Array(to);
  for (let position = 0, at = step * 0.5; position < to; position++, at += step) {
    found[position] = Math.min(Math.trunc(at), from - 1);
  }
  return found;
}

/**
 * Tells whether Pillow resizes along y before x: since Pillow 13, when that takes away more than twice as many
 * rows as columns. (The order shows in the last bit. Older ones always began with x.)
 */
function columnsFirst(part: Rows, width: number, height: number): boolean {
  return height < part.height && part.height - height > 2 * (part.width - width);
}

/** A band of source rows after the other along x, then all of the result along y. */
function resizeXThenY(
  part: Rows,
  width: number,
  height: number,
  filter: FilterName,
): Uint8Array {
  const bytes = width * 3;
  const axisX = axisWeights(part.width, width, filter);
  const axisY = axisWeights(part.height, height, filter);
  const bandRows = Math.max(Math.floor(BAND_BYTES / (part.width * 3)), 1);
  const place = placer();
  const x = place(axisX.records.byteLength), y = place(axisY.records.byteLength);
  const band = place(Math.min(bandRows, part.height) * part.width * 3);
  const between = place(part.height * bytes), result = place(height * bytes);
  const passes = passesWith(result.end);
  const memory = new Uint8Array(passes.memory.buffer);
  memory.set(bytesOf(axisX), x.at);
  memory.set(bytesOf(axisY), y.at);
  for (let top = 0; top < part.height; top += bandRows) {
    const rows = Math.min(bandRows, part.height - top);
    const at = between.at + top * bytes;
    if (width === part.width) {
      copyBlock(part, { top, left: 0, rows, bytes }, memory, at);
      continue;
    }
    copyBlock(part, { top, left: 0, rows, bytes: part.width * 3 }, memory, band.at);
    passes.alongX(band.at, part.width * 3, rows, x.at, axisX.record, width, at);
  }
  if (height === part.height) return memory.slice(between.at, between.at + height * bytes);
  passes.alongY(between.at, bytes, bytes, y.at, axisY.record, height, result.at, bytes);
  return memory.slice(result.at, result.at + height * bytes);
}

/** A strip of source columns after the other along y, then all of the result along x. */
function resizeYThenX(
  part: Rows,
  width: number,
  height: number,
  filter: FilterName,
): Uint8Array {
  const bytes = part.width * 3;
  const stride = roundUp(bytes, SLACK_BYTES);
  const axisX = axisWeights(part.width, width, filter);
  const axisY = axisWeights(part.height, height, filter);
  const stripBytes = Math.max(
    roundUp(Math.floor(BAND_BYTES / part.height), SLACK_BYTES),
    SLACK_BYTES,
  );
  const place = placer();
  const x = place(axisX.records.byteLength), y = place(axisY.records.byteLength);
  const strip = place(Math.min(stripBytes, bytes) * part.height);
  const between = place(height * stride), result = place(height * width * 3);
  const passes = passesWith(result.end);
  const memory = new Uint8Array(passes.memory.buffer);
  memory.set(bytesOf(axisX), x.at);
  memory.set(bytesOf(axisY), y.at);
  for (let left = 0; left < bytes; left += stripBytes) {
    const some = Math.min(stripBytes, bytes - left);
    copyBlock(part, { top: 0, left, rows: part.height, bytes: some }, memory, strip.at);
    passes.alongY(strip.at, some, some, y.at, axisY.record, height, between.at + left, stride);
  }
  if (width !== part.width) {
    passes.alongX(between.at, stride, height, x.at, axisX.record, width, result.at);
    return memory.slice(result.at, result.at + height * width * 3);
  }
  const data = new Uint8Array(height * bytes);
  const rows = { data: memory.subarray(between.at), stride, width, height };
  copyBlock(rows, { top: 0, left: 0, rows: height, bytes }, data, 0);
  return data;
}

/** Copies a block out of some rows, its own rows packed. */
function copyBlock(
  { data, stride }: Rows,
  { top, left, rows, bytes }: { top: number; left: number; rows: number; bytes: number },
  target: Uint8Array,
  at: number,
): void {
  const first = top * stride + left;
  if (bytes === stride) {
    target.set(data.subarray(first, first + rows * stride), at);
    return;
  }
  for (let row = 0; row < rows; row++) {
    const from = first + row * stride;
    target.set(data.subarray(from, from + bytes), at + row * bytes);
  }
}

/** Returns a function that puts blocks of bytes one after the other, with some slack behind each. */
function placer(): (size: number) => { at: number; end: number } {
  let end = 0;
  return (size) => {
    const at = end;
    end = roundUp(at + size + SLACK_BYTES, SLACK_BYTES);
    return { at, end };
  };
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

function bytesOf({ records }: Axis): Uint8Array {
  return new Uint8Array(records.buffer);
}

let code: WebAssembly.Module | undefined;
let kept: Passes | undefined;

/** The passes with at least so much memory. */
function passesWith(bytes: number): Passes {
  code ??= new WebAssembly.Module(
    Uint8Array.from(atob(RESIZE_CODE), (letter) => letter.charCodeAt(0)),
  );
  const fresh = () => new WebAssembly.Instance(code!).exports as unknown as Passes;
  const passes = bytes > KEPT_BYTES ? fresh() : kept ??= fresh();
  const missing = bytes - passes.memory.buffer.byteLength;
  if (missing > 0) passes.memory.grow(Math.ceil(missing / PAGE_BYTES));
  return passes;
}

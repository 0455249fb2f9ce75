/**
 * RandomRotation, with the pixels of Pillow's `rotate` to the bit.
 *
 * @module
 */
import { z } from "../../deps/zod.ts";
import { orientRgb, type RgbImage } from "../codecs/rgb_image.ts";
import { fill, range, type Rgb } from "./arguments.ts";
import { between } from "./draw.ts";
import { requireRoom } from "./limits.ts";
import { define } from "./transform.ts";

const INTERPOLATIONS = ["nearest", "bilinear", "bicubic"] as const;

/** The options of {@linkcode rotateRgb}. */
export interface RotateOptions {
  /** The nearest pixel, or the weighted mean of the 4 or 16 around. */
  readonly interpolation: (typeof INTERPOLATIONS)[number];
  /** True if the result is as large as the turned image; else the result has the image's size. */
  readonly expand: boolean;
  /** The point that stays in its place, x and y in pixels from the top left corner; `null` is the middle. */
  readonly center: readonly [x: number, y: number] | null;
  /** Colour outside of the image. */
  readonly fill: Rgb;
}

/** Degrees, and pixels from a corner: beyond these a number is a slip of the pen. */
const reach = z.number().min(-1e6, "give at least -1000000").max(1e6, "give at most 1000000");

const degrees = z.union(
  [reach.min(0), range("degrees", reach)],
  "give the most degrees either way (0 or more), or [low, high]",
).transform((value): [number, number] => typeof value === "number" ? [0 - value, value] : value // 0 - 0 rather than -0
);

/** Turned by a random angle of so many degrees. */
export const RandomRotation = define({
  schema: z.strictObject({
    degrees: degrees.describe("Greatest angle to both sides, or [low, high]; counterclockwise."),
    interpolation: z.enum(INTERPOLATIONS, `give one of ${INTERPOLATIONS.join(", ")}`).default(
      "nearest",
    ).describe("The interpolation of turned pixels, by torchvision's names."),
    expand: z.boolean("give true or false").default(false).describe(
      "Enlarge the image so that all of it is kept.",
    ),
    center: z.tuple([reach, reach], "give [x, y] in pixels").nullable().default(null).describe(
      "Centre of rotation, [x, y] in pixels; the middle of the image unless given.",
    ),
    fill,
  }).describe("Turns the image by a random angle."),
  shorthand: "degrees",
  random: true,
  sizeAfter: ({ expand }, before) => expand ? undefined : before,
  onImage: (image, args, random) => rotateRgb(image, between(args.degrees, random), args),
});

/** The source of a pixel (x, y) of the result: a·x + b·y + c and d·x + e·y + f. */
type Affine = [a: number, b: number, c: number, d: number, e: number, f: number];

/**
 * Turns an image counterclockwise.
 *
 * @param degrees Any angle
 * @throws {LockstepError} when the image would become too large
 */
export function rotateRgb(image: RgbImage, degrees: number, options: RotateOptions): RgbImage {
  const rest = degrees % 360;
  const angle = rest < 0 ? rest + 360 : rest;
  const orientation = options.center ? undefined : quarterTurn(image, angle, options.expand);
  if (orientation !== undefined) return orientRgb(image, orientation);
  const { matrix, width, height } = inverseRotation(image, angle, options);
  requireRoom("RandomRotation", image, width, height);
  const result = { width, height, data: new Uint8Array(width * height * 3) };
  const { fill, interpolation } = options;
  if (fill.some((value) => value !== 0)) {
    for (let at = 0; at < result.data.length; at += 3) result.data.set(fill, at);
  }
  if (interpolation === "bilinear") sampleBilinear(image, matrix, result);
  else if (interpolation === "bicubic") sampleBicubic(image, matrix, result);
  else if (fitsFixedPoint(matrix, result)) sampleFixedPoint(image, matrix, result);
  else sampleNearest(image, matrix, result);
  return result;
}

/** The EXIF orientation that turns as far, for angles at which no pixel needs to be computed. */
function quarterTurn(image: RgbImage, angle: number, expand: boolean): number | undefined {
  if (angle === 0) return 1;
  if (angle === 180) return 3;
  if (!expand && image.width !== image.height) return undefined;
  return angle === 90 ? 8 : angle === 270 ? 6 : undefined;
}

/** The way back from the turned image, and its size. */
function inverseRotation(
  image: RgbImage,
  angle: number,
  { expand, center }: RotateOptions,
): { matrix: Affine; width: number; height: number } {
  const { width, height } = image;
  const [x, y] = center ?? [width / 2, height / 2];
  const radians = -(angle * (Math.PI / 180));
  const cos = rounded(Math.cos(radians)), sin = rounded(Math.sin(radians));
  const matrix: Affine = [cos, sin, 0, rounded(-Math.sin(radians)), cos, 0];
  const [left, top] = transformed(matrix, -x, -y);
  matrix[2] = left + x;
  matrix[5] = top + y;
  if (!expand) return { matrix, width, height };
  const corners = cornersOf(image).map(([cornerX, cornerY]) =>
    transformed(matrix, cornerX, cornerY)
  );
  const extent = (axis: 0 | 1) => {
    const along = corners.map((corner) => corner[axis]);
    return Math.ceil(Math.max(...along)) - Math.floor(Math.min(...along));
  };
  const size = { width: extent(0), height: extent(1) };
  [matrix[2], matrix[5]] = transformed(
    matrix,
    -(size.width - width) / 2,
    -(size.height - height) / 2,
  );
  return { matrix, ...size };
}

function cornersOf({ width, height }: RgbImage): [x: number, y: number][] {
  return [[0, 0], [width, 0], [width, height], [0, height]];
}

function transformed([a, b, c, d, e, f]: Affine, x: number, y: number): [number, number] {
  return [a * x + b * y + c, d * x + e * y + f];
}

/** 15 digits, so that a right angle has zeros. */
function rounded(value: number): number {
  return Number(value.toFixed(15));
}

/**
 * Tells whether 16 bits are enough before the point. Without a turn (by 0 or 180 degrees around a given center)
 * Pillow stays with floats.
 */
function fitsFixedPoint(matrix: Affine, image: RgbImage): boolean {
  if (matrix[1] === 0 && matrix[3] === 0) return false;
  return cornersOf(image).every(([x, y]) =>
    transformed(matrix, x, y).every((value) => Math.abs(value) < 32768)
  );
}

/** The nearest pixels, found by adding up numbers of 16 bits before and 16 behind the point. */
function sampleFixedPoint(
  { width, height, data: source }: RgbImage,
  [a, b, c, d, e, f]: Affine,
  result: RgbImage,
): void {
  const fixed = (value: number) => Math.floor(value * 65536 + 0.5) | 0;
  const right = fixed(a), down = fixed(d);
  let rowX = fixed(c + a * 0.5 + b * 0.5), rowY = fixed(f + d * 0.5 + e * 0.5);
  for (let y = 0, at = 0; y < result.height; y++) {
    let inX = rowX, inY = rowY;
    for (let x = 0; x < result.width; x++, at += 3) {
      const column = inX >> 16, row = inY >> 16;
      if (column >= 0 && column < width && row >= 0 && row < height) {
        const from = (row * width + column) * 3;
        result.data[at] = source[from]!;
        result.data[at + 1] = source[from + 1]!;
        result.data[at + 2] = source[from + 2]!;
      }
      inX = (inX + right) | 0;
      inY = (inY + down) | 0;
    }
    rowX = (rowX + fixed(b)) | 0;
    rowY = (rowY + fixed(e)) | 0;
  }
}

/** The nearest pixels, found by adding up 64-bit floats. */
function sampleNearest(
  { width, height, data: source }: RgbImage,
  [a, b, c, d, e, f]: Affine,
  result: RgbImage,
): void {
  let rowX = c + b * 0.5 + a * 0.5, rowY = f + e * 0.5 + d * 0.5;
  for (let y = 0, at = 0; y < result.height; y++) {
    let inX = rowX, inY = rowY;
    for (let x = 0; x < result.width; x++, at += 3) {
      if (inX >= 0 && inX < width && inY >= 0 && inY < height) {
        const from = (Math.trunc(inY) * width + Math.trunc(inX)) * 3;
        result.data[at] = source[from]!;
        result.data[at + 1] = source[from + 1]!;
        result.data[at + 2] = source[from + 2]!;
      }
      inX += a;
      inY += d;
    }
    rowX += b;
    rowY += e;
  }
}

/** Means of the four pixels around each place; beyond the image's edge the outermost pixels go on. */
function sampleBilinear(
  { width, height, data: source }: RgbImage,
  [a, b, c, d, e, f]: Affine,
  result: RgbImage,
): void {
  for (let y = 0, at = 0; y < result.height; y++) {
    for (let x = 0; x < result.width; x++, at += 3) {
      const inX = a * (x + 0.5) + b * (y + 0.5) + c;
      const inY = d * (x + 0.5) + e * (y + 0.5) + f;
      if (!(inX >= 0 && inX < width && inY >= 0 && inY < height)) continue;
      const left = Math.floor(inX - 0.5), top = Math.floor(inY - 0.5);
      const shareX = inX - 0.5 - left, shareY = inY - 0.5 - top;
      const column = Math.max(left, 0) * 3, nextColumn = Math.min(left + 1, width - 1) * 3;
      const row = Math.max(top, 0) * width * 3;
      const nextRow = Math.min(top + 1, height - 1) * width * 3;
      for (let channel = 0; channel < 3; channel++) {
        const upper = source[row + column + channel]!;
        const lower = source[nextRow + column + channel]!;
        const above = upper + (source[row + nextColumn + channel]! - upper) * shareX;
        const below = lower + (source[nextRow + nextColumn + channel]! - lower) * shareX;
        result.data[at + channel] = Math.trunc(above + (below - above) * shareY);
      }
    }
  }
}

/**
 * Cubic means of the 16 pixels around each place; beyond the image's edge the outermost pixels go on, and
 * rows beyond it are what the row before them gave.
 */
function sampleBicubic(
  { width, height, data: source }: RgbImage,
  [a, b, c, d, e, f]: Affine,
  result: RgbImage,
): void {
  const columns = new Int32Array(4), means = new Float64Array(4);
  for (let y = 0, at = 0; y < result.height; y++) {
    for (let x = 0; x < result.width; x++, at += 3) {
      const inX = a * (x + 0.5) + b * (y + 0.5) + c;
      const inY = d * (x + 0.5) + e * (y + 0.5) + f;
      if (!(inX >= 0 && inX < width && inY >= 0 && inY < height)) continue;
      const left = Math.floor(inX - 0.5), top = Math.floor(inY - 0.5);
      const shareX = inX - 0.5 - left, shareY = inY - 0.5 - top;
      for (let i = 0; i < 4; i++) columns[i] = Math.min(Math.max(left - 1 + i, 0), width - 1) * 3;
      for (let channel = 0; channel < 3; channel++) {
        for (let i = 0; i < 4; i++) {
          const row = i === 0 ? Math.max(top - 1, 0) : top - 1 + i;
          if (i > 0 && (row < 0 || row >= height)) {
            means[i] = means[i - 1]!;
            continue;
          }
          const from = row * width * 3 + channel;
          means[i] = cubic(
            source[from + columns[0]!]!,
            source[from + columns[1]!]!,
            source[from + columns[2]!]!,
            source[from + columns[3]!]!,
            shareX,
          );
        }
        const value = cubic(means[0]!, means[1]!, means[2]!, means[3]!, shareY);
        result.data[at + channel] = Math.min(Math.max(Math.trunc(value), 0), 255);
      }
    }
  }
}

/** The cubic through the second and third value, at a share of the way between them. */
function cubic(v1: number, v2: number, v3: number, v4: number, share: number): number {
  const p2 = -v1 + v3, p3 = 2 * (v1 - v2) + v3 - v4, p4 = -v1 + v2 - v3 + v4;
  return v2 + share * (p2 + share * (p3 + share * p4));
}

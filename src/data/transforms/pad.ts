/**
 * Pad: more pixels around an image.
 *
 * @module
 */
import { z } from "../../deps/zod.ts";
import type { RgbImage } from "../codecs/rgb_image.ts";
import { fill, type Rgb, type Size } from "./arguments.ts";
import { requireRoom } from "./limits.ts";
import { define } from "./transform.ts";

/** Pixels to add on each side. */
export type Padding = [left: number, top: number, right: number, bottom: number];

const side = z.int("give whole pixels").min(0, "give 0 pixels or more; CenterCrop cuts pixels off")
  .max(65535, "give at most 65535 pixels");

/** One number, [left and right, top and bottom] or all four sides; always the latter when validated. */
export const padding = z.union(
  [side, z.tuple([side, side]), z.tuple([side, side, side, side])],
  "give one number, [left and right, top and bottom] or [left, top, right, bottom], 0 pixels or more",
).transform((value): Padding => {
  if (typeof value === "number") return [value, value, value, value];
  return value.length === 2 ? [...value, ...value] : value;
});

const PADDING_MODES = ["constant", "edge", "reflect", "symmetric"] as const;

/** The kind of the new pixels: a colour, the outermost pixel, or the image mirrored without or with that. */
export type PaddingMode = (typeof PADDING_MODES)[number];

/** A {@linkcode PaddingMode}. */
export const paddingMode = z.enum(PADDING_MODES, `give one of ${PADDING_MODES.join(", ")}`)
  .default("constant").describe(
    "Pixels of the padding: `constant` (`fill`), or the image's `edge`, `reflect` or `symmetric`.",
  );

/** More pixels around the image. */
export const Pad = define({
  schema: z.strictObject({
    padding: padding.describe(
      "Pixels: all sides, [horizontal, vertical], or [left, top, right, bottom].",
    ),
    fill,
    paddingMode,
  }).describe("Adds pixels around the image."),
  shorthand: "padding",
  random: false,
  sizeAfter: ({ padding }, before) => before && paddedSize(before, padding),
  onImage: (image, { padding, fill, paddingMode }) => padRgb(image, padding, fill, paddingMode),
});

/** The size of an image after padding. */
export function paddedSize([height, width]: Size, [left, top, right, bottom]: Padding): Size {
  return [height + top + bottom, width + left + right];
}

/**
 * Puts pixels around an image.
 *
 * @param fill Colour of new pixels in mode `constant`
 * @throws {LockstepError} when the image would become too large
 */
export function padRgb(
  image: RgbImage,
  padding: Padding,
  fill: Rgb = [0, 0, 0],
  mode: PaddingMode = "constant",
): RgbImage {
  const [left, top] = padding;
  const [height, width] = paddedSize([image.height, image.width], padding);
  if (height === image.height && width === image.width) return image;
  requireRoom("Pad", image, width, height);
  const data = new Uint8Array(width * height * 3);
  if (mode === "constant" && fill.some((value) => value !== 0)) {
    for (let at = 0; at < data.length; at += 3) data.set(fill, at);
  }
  const columns = sources(image.width, left, width, mode);
  const rows = sources(image.height, top, height, mode);
  const stride = image.width * 3;
  const sides: [first: number, end: number][] = mode === "constant"
    ? []
    : [[0, left], [left + image.width, width]];
  for (const [y, source] of rows.entries()) {
    if (source < 0) continue;
    const from = source * stride;
    const row = y * width;
    data.set(image.data.subarray(from, from + stride), (row + left) * 3);
    for (const [first, end] of sides) {
      for (let x = first; x < end; x++) {
        const pixel = from + columns[x]! * 3;
        data.set(image.data.subarray(pixel, pixel + 3), (row + x) * 3);
      }
    }
  }
  return { width, height, data };
}

/**
 * Returns the position in the source, of `length`, for each of `padded` positions; −1 for none. Mirrors may mirror
 * each other.
 */
function sources(length: number, before: number, padded: number, mode: PaddingMode): Int32Array {
  return Int32Array.from({ length: padded }, (_, at) => {
    const position = at - before;
    if (position >= 0 && position < length) return position;
    if (mode === "constant") return -1;
    if (mode === "edge" || length === 1) return position < 0 ? 0 : length - 1;
    const period = mode === "reflect" ? 2 * (length - 1) : 2 * length;
    const phase = ((position % period) + period) % period;
    if (phase < length) return phase;
    return mode === "reflect" ? period - phase : period - 1 - phase;
  });
}

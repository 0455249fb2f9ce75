/**
 * RandomResizedCrop, RandomCrop and CenterCrop.
 *
 * @module
 */
import { z } from "../../deps/zod.ts";
import { LockstepError } from "../../base/errors.ts";
import { randomInt, type RandomStream } from "../../base/random.ts";
import { resizeRgb } from "../resizing/resize.ts";
import { type Box, cropRgb, type RgbImage } from "../codecs/rgb_image.ts";
import { antialias, fill, interpolation, range, type Rgb, type Size, size } from "./arguments.ts";
import { between, betweenLog, roundHalfEven } from "./draw.ts";
import { paddedSize, type Padding, padding, type PaddingMode, paddingMode, padRgb } from "./pad.ts";
import { define } from "./transform.ts";

/** Tries of RandomResizedCrop to find a box that fits, as in torchvision. */
const CROP_TRIES = 10;

/** A random part of the image (its share of the area, its aspect ratio), resized. */
export const RandomResizedCrop = define({
  schema: z.strictObject({
    size: size.describe("The side of a square, or [height, width], in pixels."),
    scale: range("area").default([0.08, 1]).describe(
      "Least and greatest share of the image's area.",
    ),
    ratio: range("width divided by the height").default([3 / 4, 4 / 3]).describe(
      "Least and greatest width divided by height.",
    ),
    interpolation,
    antialias,
  }).describe("Cuts out a random part of the image and resizes it to `size`."),
  shorthand: "size",
  random: true,
  sizeAfter: ({ size }) => size,
  onImage(image, { size: [height, width], scale, ratio, interpolation }, random) {
    const box = randomResizedCropBox(image, scale, ratio, random);
    return resizeRgb(image, width, height, box, interpolation);
  },
  part: (image, { scale, ratio }, random) => randomResizedCropBox(image, scale, ratio, random),
  onPart: (part, { size: [height, width], interpolation }) =>
    resizeRgb(part, width, height, undefined, interpolation),
});

/** A part of the image at a random place, the image padded before. */
export const RandomCrop = define({
  schema: z.strictObject({
    size: size.describe("The side of a square, or [height, width], in pixels."),
    padding: padding.nullable().default(null).describe(
      "Pixels that are added around the image before: all sides, [horizontal, vertical], or " +
        "[left, top, right, bottom].",
    ),
    padIfNeeded: z.boolean("give true or false").default(false).describe(
      "Pad images that are smaller than `size`, instead of refusing them.",
    ),
    fill,
    paddingMode,
  }).describe("Cuts out a part of `size` at a random place."),
  shorthand: "size",
  random: true,
  sizeAfter: ({ size }) => size,
  problemWith: (args, before) => args.padIfNeeded ? undefined : tooSmallFor(args, before),
  onImage(image, args, random) {
    const problem = !args.padIfNeeded && tooSmallFor(args, [image.height, image.width]);
    if (problem) throw new LockstepError(problem);
    const padded = padForCrop(image, args);
    return cropRgb(padded, randomCropBox(padded, args.size, random));
  },
});

/** The middle of the image, with black around a smaller one. */
export const CenterCrop = define({
  schema: z.strictObject({
    size: size.describe("The side of a square, or [height, width], in pixels."),
  }).describe("Cuts out the middle of the image, with black around a smaller one."),
  shorthand: "size",
  random: false,
  sizeAfter: ({ size }) => size,
  onImage: (image, { size }) => cropRgb(image, centerCropBox(image, size)),
});

/**
 * The box that RandomResizedCrop draws: `scale` of the area and `ratio` of the sides at random, at a random
 * place; after ten misses the largest box in the middle whose ratio is allowed.
 *
 * @param image The image's size
 * @param scale Least and most of the area
 * @param ratio Least and most width divided by height; drawn evenly on a logarithmic scale
 */
export function randomResizedCropBox(
  image: { width: number; height: number },
  scale: readonly [number, number],
  ratio: readonly [number, number],
  random: RandomStream,
): Box {
  for (let tries = 0; tries < CROP_TRIES; tries++) {
    const area = image.width * image.height * between(scale, random);
    const aspect = betweenLog(ratio, random);
    const width = roundHalfEven(Math.sqrt(area * aspect));
    const height = roundHalfEven(Math.sqrt(area / aspect));
    if (width > 0 && width <= image.width && height > 0 && height <= image.height) {
      return randomCropBox(image, [height, width], random);
    }
  }
  const own = image.width / image.height;
  let { width, height } = image;
  if (own < ratio[0]) height = Math.max(1, roundHalfEven(width / ratio[0]));
  else if (own > ratio[1]) width = Math.max(1, roundHalfEven(height * ratio[1]));
  return {
    left: Math.floor((image.width - width) / 2),
    top: Math.floor((image.height - height) / 2),
    width,
    height,
  };
}

/**
 * A box at a random place inside of an image.
 *
 * @param image The image's size, not less than the box
 * @param size Height and width of the box
 */
export function randomCropBox(
  image: { width: number; height: number },
  [height, width]: Size,
  random: RandomStream,
): Box {
  const top = randomInt(random, image.height - height + 1);
  const left = randomInt(random, image.width - width + 1);
  return { left, top, width, height };
}

/**
 * The box that CenterCrop takes; where the image is smaller, it reaches outside.
 *
 * @param size Height and width of the box
 */
export function centerCropBox(image: { width: number; height: number }, size: Size): Box {
  const [height, width] = size;
  return {
    left: centered(image.width, width),
    top: centered(image.height, height),
    width,
    height,
  };
}

/** torchvision rounds a half to the even pixel when it cuts, and down when it pads. */
function centered(whole: number, part: number): number {
  return part > whole ? -Math.floor((part - whole) / 2) : roundHalfEven((whole - part) / 2);
}

/**
 * The image as RandomCrop cuts from it: with its padding and, with `padIfNeeded`, what is still missing
 * on both sides each.
 *
 * @throws {LockstepError} when the image would become too large
 */
export function padForCrop(
  image: RgbImage,
  { size: [height, width], padding, padIfNeeded, fill, paddingMode }: {
    readonly size: Size;
    readonly padding: Padding | null;
    readonly padIfNeeded: boolean;
    readonly fill: Rgb;
    readonly paddingMode: PaddingMode;
  },
): RgbImage {
  const padded = padding ? padRgb(image, padding, fill, paddingMode) : image;
  if (!padIfNeeded) return padded;
  const x = Math.max(width - padded.width, 0), y = Math.max(height - padded.height, 0);
  return padRgb(padded, [x, y, x, y], fill, paddingMode);
}

function tooSmallFor(
  { size: [height, width], padding }: { size: Size; padding: Padding | null },
  before: Size,
): string | undefined {
  const [paddedHeight, paddedWidth] = padding ? paddedSize(before, padding) : before;
  if (paddedHeight >= height && paddedWidth >= width) return undefined;
  const with_ = padding ? ` with its padding (${paddedWidth} × ${paddedHeight})` : "";
  return `RandomCrop can't cut ${width} × ${height} pixels out of ${before[1]} × ${
    before[0]
  }${with_}: ` +
    "set padIfNeeded: true, or write a Resize before it";
}

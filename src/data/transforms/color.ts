/**
 * ColorJitter and RandomGrayscale.
 *
 * @module
 */
import { z } from "../../deps/zod.ts";
import { float32 } from "../../base/float32.ts";
import { randomPermutation, type RandomStream } from "../../base/random.ts";
import type { RgbImage } from "../codecs/rgb_image.ts";
import { adjustBrightness, adjustContrast, adjustSaturation, greyRgb } from "./adjust.ts";
import { probability, range } from "./arguments.ts";
import { between } from "./draw.ts";
import { adjustHue } from "./hue.ts";
import { define } from "./transform.ts";

const factor = z.union(
  [float32().min(0), range("factors", float32().min(0))],
  "give how far the factor may be from 1 (0 or more), or its [low, high]",
).transform((value): [number, number] =>
  typeof value === "number" ? [Math.max(0, 1 - value), 1 + value] : value
).prefault(0);

const turn = z.union(
  [z.number().min(0).max(0.5), range("turns", z.number().min(-0.5).max(0.5))],
  "give the most turn either way, 0 to 0.5, or [low, high] of it, both from -0.5 to 0.5",
).transform((value): [number, number] => typeof value === "number" ? [0 - value, value] : value // 0 - 0 rather than -0
).prefault(0);

/** Brighter or darker, with more or less contrast and colour, and other hues, in random order. */
export const ColorJitter = define({
  schema: z.strictObject({
    brightness: factor.describe("Greatest change of the brightness, or [low, high] of its factor."),
    contrast: factor.describe("Greatest change of the contrast, or [low, high] of its factor."),
    saturation: factor.describe("Greatest change of the saturation, or [low, high] of its factor."),
    hue: turn.describe(
      "Greatest shift of the hue, up to 0.5 of the colour circle, or [low, high].",
    ),
  }).describe("Changes brightness, contrast, saturation and hue at random, in random order."),
  random: true,
  ignoresMirroring: true,
  onImage: (image, args, random) =>
    drawColorJitter(args, random).reduce((current, step) => adjust(current, step), image),
});

/** Without colour with probability `p`. */
export const RandomGrayscale = define({
  schema: z.strictObject({ p: probability.default(0.1).describe("Probability of grey.") }).describe(
    "Takes the colours away, with probability `p`.",
  ),
  shorthand: "p",
  random: true,
  ignoresMirroring: true,
  onImage: (image, { p }, random) => random() < p ? greyRgb(image) : image,
});

const ADJUSTMENTS = {
  brightness: adjustBrightness,
  contrast: adjustContrast,
  saturation: adjustSaturation,
  hue: adjustHue,
};

/** One of ColorJitter's four, and by how much. */
export type Adjustment = readonly [what: keyof typeof ADJUSTMENTS, amount: number];

/** Makes one adjustment. */
export function adjust(image: RgbImage, [what, amount]: Adjustment): RgbImage {
  return ADJUSTMENTS[what](image, amount);
}

/**
 * Draws the steps of ColorJitter for one image, in their order. Amounts that may not vary are left out.
 *
 * @param ranges [low, high] of each amount
 */
export function drawColorJitter(
  ranges: Readonly<Record<keyof typeof ADJUSTMENTS, readonly [number, number]>>,
  random: RandomStream,
): Adjustment[] {
  const names = Object.keys(ADJUSTMENTS) as (keyof typeof ADJUSTMENTS)[];
  const order = randomPermutation(random, names.length);
  const adjustments = names.map((name): Adjustment => [name, between(ranges[name], random)]);
  return Array.from(order, (at) => adjustments[at]!).filter(([name]) => {
    const nothing = name === "hue" ? 0 : 1;
    return ranges[name].some((limit) => limit !== nothing);
  });
}

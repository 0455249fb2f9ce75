/**
 * RandomErasing (Zhong et al., "Random Erasing Data Augmentation", 2017).
 *
 * @module
 */
import { z } from "../../deps/zod.ts";
import { float32 } from "../../base/float32.ts";
import { randomNormal, type RandomStream } from "../../base/random.ts";
import type { Box } from "../codecs/rgb_image.ts";
import { probability, range, type Rgb, type Size } from "./arguments.ts";
import { randomCropBox } from "./crop.ts";
import { between, betweenLog, roundHalfEven } from "./draw.ts";
import { define, type FloatImage } from "./transform.ts";

/** Tries to find a box that fits, as in torchvision. */
const ERASE_TRIES = 10;

/** The content of an erased box: one value per channel, or each value drawn anew. */
export type ErasingValue = Rgb | "random";

const value = z.union(
  [float32(), z.tuple([float32(), float32(), float32()]), z.literal("random")],
  'give one number, [red, green, blue] or "random"',
).transform((given): ErasingValue => typeof given === "number" ? [given, given, given] : given)
  .prefault(0);

/** A random box overwritten with probability `p`. */
export const RandomErasing = define({
  schema: z.strictObject({
    p: probability.default(0.5).describe("Probability of a box."),
    scale: range("area, both from 0 to 1", z.number().min(0).max(1)).default([0.02, 0.33]).describe(
      "Least and greatest share of the image's area.",
    ),
    ratio: range("height divided by the width").default([0.3, 3.3]).describe(
      "Least and greatest height divided by width.",
    ),
    value: value.describe(
      "Value of the box after normalization: one number, one per channel, or `random`.",
    ),
  }).describe("Overwrites a random box of the normalized image, with probability `p`."),
  shorthand: "p",
  random: true,
  erase: {
    colour: ({ value }) => value === "random" ? undefined : value,
    draw: drawBox,
  },
  onFloats(image, args, random) {
    const box = drawBox(args, [image.height, image.width], random);
    if (box) eraseBox(image, box, args.value, random);
  },
});

/** The arguments that decide on a box. */
interface BoxArguments {
  readonly p: number;
  readonly scale: readonly [number, number];
  readonly ratio: readonly [number, number];
}

function drawBox({ p, scale, ratio }: BoxArguments, [height, width]: Size, random: RandomStream) {
  return random() < p ? randomErasingBox({ width, height }, scale, ratio, random) : undefined;
}

/**
 * The box that RandomErasing draws, smaller than the image on both sides.
 *
 * @param scale Least and most of the area
 * @param ratio Least and most height divided by width; drawn evenly on a logarithmic scale
 * @returns Nothing after ten misses
 */
export function randomErasingBox(
  image: { width: number; height: number },
  scale: readonly [number, number],
  ratio: readonly [number, number],
  random: RandomStream,
): Box | undefined {
  for (let tries = 0; tries < ERASE_TRIES; tries++) {
    const area = image.width * image.height * between(scale, random);
    const aspect = betweenLog(ratio, random);
    const height = roundHalfEven(Math.sqrt(area * aspect));
    const width = roundHalfEven(Math.sqrt(area / aspect));
    if (height < image.height && width < image.width) {
      return randomCropBox(image, [height, width], random);
    }
  }
  return undefined;
}

/**
 * Overwrites a part of an image.
 *
 * @param box Inside of the image
 * @param value Values per channel, or `random` for numbers of mean 0 and variance 1 from `random`
 */
export function eraseBox(image: FloatImage, box: Box, value: Rgb): void;
export function eraseBox(
  image: FloatImage,
  box: Box,
  value: ErasingValue,
  random: RandomStream,
): void;
export function eraseBox(
  image: FloatImage,
  box: Box,
  value: ErasingValue,
  random?: RandomStream,
): void {
  for (let y = box.top; y < box.top + box.height; y++) {
    const first = (y * image.width + box.left) * 3;
    for (let at = first; at < first + box.width * 3; at += 3) {
      for (let channel = 0; channel < 3; channel++) {
        image.data[at + channel] = value === "random" ? randomNormal(random!) : value[channel]!;
      }
    }
  }
}

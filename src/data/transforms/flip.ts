/**
 * RandomHorizontalFlip and RandomVerticalFlip.
 *
 * @module
 */
import { z } from "../../deps/zod.ts";
import { flipRgb, orientRgb } from "../codecs/rgb_image.ts";
import { probability } from "./arguments.ts";
import { define } from "./transform.ts";

/** Mirrored left to right with probability `p`. */
export const RandomHorizontalFlip = define({
  schema: z.strictObject({ p: probability.default(0.5).describe("Probability of a flip.") })
    .describe("Exchanges left and right, with probability `p`."),
  shorthand: "p",
  random: true,
  onImage: (image, { p }, random) => random() < p ? flipRgb(image) : image,
});

/** Mirrored top to bottom with probability `p`. */
export const RandomVerticalFlip = define({
  schema: z.strictObject({ p: probability.default(0.5).describe("Probability of a flip.") })
    .describe("Exchanges top and bottom, with probability `p`."),
  shorthand: "p",
  random: true,
  onImage: (image, { p }, random) => random() < p ? orientRgb(image, 4) : image,
});

/**
 * RandomHorizontalFlip and RandomVerticalFlip.
 *
 * @module
 */
import { z } from "../../deps/zod.ts";
import type { RandomStream } from "../../base/random.ts";
import { flipRgb, orientRgb, type RgbImage } from "../codecs/rgb_image.ts";
import { probability } from "./arguments.ts";
import { define, type MirrorAxis } from "./transform.ts";

/** Mirrored left to right with probability `p`. */
export const RandomHorizontalFlip = defineFlip("x", "Exchanges left and right");

/** Mirrored top to bottom with probability `p`. */
export const RandomVerticalFlip = defineFlip("y", "Exchanges top and bottom");

/** The image mirrored along an axis. */
export function mirrorRgb(image: RgbImage, axis: MirrorAxis): RgbImage {
  return axis === "x" ? flipRgb(image) : orientRgb(image, 4);
}

function defineFlip(axis: MirrorAxis, effect: string) {
  const draw = ({ p }: { p: number }, random: RandomStream) => random() < p;
  return define({
    schema: z.strictObject({ p: probability.default(0.5).describe("Probability of a flip.") })
      .describe(`${effect}, with probability \`p\`.`),
    shorthand: "p",
    random: true,
    mirror: { axis, draw },
    onImage: (image, args, random) => draw(args, random) ? mirrorRgb(image, axis) : image,
  });
}

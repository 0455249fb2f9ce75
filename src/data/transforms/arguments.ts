/**
 * Arguments that several transforms have: sizes, ranges, colours, probabilities.
 *
 * @module
 */
import { z } from "../../deps/zod.ts";
import { float32 } from "../../base/float32.ts";
import { INTERPOLATIONS } from "../resizing/resize_filter.ts";

/** Height and width in pixels. */
export type Size = [height: number, width: number];

/** Red, green and blue. */
export type Rgb = [red: number, green: number, blue: number];

/** A number of pixels, at least one. */
export const pixels = z.int("give whole pixels").positive("give at least 1 pixel").max(
  65535,
  "give at most 65535 pixels",
);

/** [height, width]. */
export const heightAndWidth = z.tuple([pixels, pixels], "give one number or [height, width]");

/** A square's side or [height, width]; always the latter when validated. */
export const size = z.union([pixels, heightAndWidth], "give one number or [height, width]")
  .transform((value): Size => typeof value === "number" ? [value, value] : value);

/** The interpolation when an image is resized, by torchvision's names; bilinear unless given. */
export const interpolation = z.enum(INTERPOLATIONS, `give one of ${INTERPOLATIONS.join(", ")}`)
  .optional().describe(
    "The interpolation of resizing, by torchvision's names; `bilinear` unless given.",
  );

/** torchvision's switch, which has no effect on PIL images: they are always resized with antialiasing. */
export const antialias = z.literal(
  true,
  "give true or leave it out: images are always resized with antialiasing, as torchvision does with PIL images",
).nullish().describe("torchvision's switch, always on: images are resized with antialiasing.");

/** A probability, 0 … 1. */
export const probability = z.number().min(0, "give a probability from 0 to 1")
  .max(1, "give a probability from 0 to 1");

/** [low, high] of `what`, by default of positive numbers. */
export function range(what: string, number: z.ZodNumber = float32().positive()) {
  return z.tuple([number, number], `give [low, high] of the ${what}`).refine(
    ([low, high]) => low <= high,
    "the first number must not be above the second",
  );
}

/** `what` of red, green and blue. */
export function channels(what: string, number: z.ZodNumber) {
  return z.tuple(
    [number, number, number],
    `give ${what} of red, green and blue, such as [0.5, 0.5, 0.5]`,
  );
}

const byte = z.int("give whole numbers from 0 to 255").min(0, "give 0 to 255")
  .max(255, "give 0 to 255");

/** The colour where there is no image: a grey or [red, green, blue]; always the latter when validated. */
export const fill = z.union(
  [byte, z.tuple([byte, byte, byte])],
  "give one number or [red, green, blue], each from 0 to 255",
).transform((value): Rgb => typeof value === "number" ? [value, value, value] : value).prefault(0)
  .describe("The colour where there is no image: a grey or [red, green, blue], 0 to 255.");

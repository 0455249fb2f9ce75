/**
 * Resize.
 *
 * @module
 */
import { z } from "../../deps/zod.ts";
import { resizeRgb } from "../resizing/resize.ts";
import { antialias, heightAndWidth, interpolation, pixels, type Size } from "./arguments.ts";
import { requireRoom } from "./limits.ts";
import { define } from "./transform.ts";

/** One number: the shorter side, aspect ratio kept; or [height, width]. */
export const Resize = define({
  schema: z.strictObject({
    size: z.union([pixels, heightAndWidth], "give the shorter side or [height, width]").describe(
      "The shorter side, with the aspect ratio kept, or [height, width], in pixels.",
    ),
    interpolation,
    maxSize: pixels.nullish().describe("Most pixels of the longer side."),
    antialias,
  }).superRefine(({ size, maxSize }, context) => {
    if (typeof maxSize !== "number") return;
    const message = typeof size !== "number"
      ? "it needs one number as size: [height, width] leave nothing to bound"
      : maxSize <= size
      ? `it bounds the longer side: give more than the shorter one (${size})`
      : undefined;
    if (message) context.addIssue({ code: "custom", path: ["maxSize"], message });
  }).describe("Resizes the image: one number is the shorter side, two are [height, width]."),
  shorthand: "size",
  random: false,
  sizeAfter: ({ size, maxSize }, before) =>
    typeof size !== "number" ? size : before && resizedSize(before, size, maxSize),
  onImage(image, { size, maxSize, interpolation }) {
    const [height, width] = typeof size === "number"
      ? resizedSize([image.height, image.width], size, maxSize)
      : size;
    requireRoom("Resize", image, width, height);
    return resizeRgb(image, width, height, undefined, interpolation);
  },
});

/**
 * The size of an image after `Resize: shorterSide`, as torchvision computes it: the longer side is
 * rounded down; where it would be longer than `maxSize`, it gets that length and the shorter side is
 * rounded down.
 */
export function resizedSize(
  [height, width]: Size,
  shorterSide: number,
  maxSize?: number | null,
): Size {
  const [short, long] = height <= width ? [height, width] : [width, height];
  let shorter = shorterSide, longer = Math.floor((shorterSide * long) / short);
  if (typeof maxSize === "number" && longer > maxSize) {
    shorter = Math.max(Math.floor((maxSize * shorter) / longer), 1);
    longer = maxSize;
  }
  return height <= width ? [shorter, longer] : [longer, shorter];
}

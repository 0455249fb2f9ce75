/**
 * Resize.
 *
 * @module
 */
import { z } from "zod";
import { resizeRgb } from "../resize.ts";
import { heightAndWidth, pixels, type Size } from "./arguments.ts";
import { requireRoom } from "./limits.ts";
import { define } from "./transform.ts";

/** One number: the shorter side, aspect ratio kept; or [height, width]. */
export const Resize = define({
  schema: z.strictObject({
    size: z.union([pixels, heightAndWidth], "give the shorter side or [height, width]"),
  }),
  shorthand: "size",
  random: false,
  sizeAfter: ({ size }, before) =>
    typeof size !== "number" ? size : before && resizedSize(before, size),
  onPicture(image, { size }) {
    const [height, width] = typeof size === "number"
      ? resizedSize([image.height, image.width], size)
      : size;
    requireRoom("Resize", image, width, height);
    return resizeRgb(image, width, height);
  },
});

/**
 * The size of a picture after `Resize: shorterSide`, as torchvision computes it: the longer side is
 * rounded down.
 */
export function resizedSize([height, width]: Size, shorterSide: number): Size {
  const [short, long] = height <= width ? [height, width] : [width, height];
  const longer = Math.floor((shorterSide * long) / short);
  return height <= width ? [shorterSide, longer] : [longer, shorterSide];
}

/**
 * The parts of a transform.
 *
 * @module
 */
import type { z } from "../../deps/zod.ts";
import type { RandomStream } from "../../base/random.ts";
import type { Box, RgbImage } from "../codecs/rgb_image.ts";
import type { Rgb, Size } from "./arguments.ts";

/** An image after the step from bytes to floats. */
export interface FloatImage {
  readonly width: number;
  readonly height: number;
  /** [height, width, 3], normalized. */
  readonly data: Float32Array;
}

/** The axis along which pixels change places: `x` exchanges left and right, `y` top and bottom. */
export type MirrorAxis = "x" | "y";

/**
 * One transform: the arguments it takes and what it does with them. Which of the last two functions it has
 * decides where it may stand: those on bytes come before those on floats.
 */
export interface Transform<Arguments> {
  /** Checks the arguments of a config, and puts defaults in. */
  readonly schema: z.ZodObject;
  /** The argument that a bare number or list stands for. */
  readonly shorthand?: string;
  /** True if the transform draws random numbers: then its result is another in each epoch. */
  readonly random: boolean;
  /**
   * The size of what comes out of an image of the size `before`; without this function the size stays.
   *
   * @param before `undefined` when it depends on the image, and so may the result
   */
  sizeAfter?(args: Arguments, before: Size | undefined): Size | undefined;
  /**
   * Returns why the transform can't work on images of this size, as a whole sentence with the cure.
   *
   * @returns Nothing when the transform can
   */
  problemWith?(args: Arguments, before: Size): string | undefined;
  /**
   * The part of an image that it takes, drawn at random, for those that need nothing else of it: then
   * `onPart` does the rest of the work.
   */
  part?(size: { width: number; height: number }, args: Arguments, random: RandomStream): Box;
  /** Does the rest of `onImage` with the image after `part` was cut from it. */
  onPart?(part: RgbImage, args: Arguments): RgbImage;
  /**
   * @param random Draws the parameters
   * @returns A new image, or the given one when there is nothing to do
   * @throws {LockstepError} when this image can't be used
   */
  onImage?(image: RgbImage, args: Arguments, random: RandomStream): RgbImage;
  /** The decision of a transform that mirrors images and does nothing else: it may be left to the device. */
  mirror?: {
    readonly axis: MirrorAxis;
    /** Draws whether an image is mirrored. */
    draw(args: Arguments, random: RandomStream): boolean;
  };
  /**
   * True if an image may as well be mirrored after it: each pixel's result depends on that pixel and on
   * sums over all of them.
   */
  readonly ignoresMirroring?: boolean;
  /** The decision of a transform that overwrites a box and does nothing else: it may be left to the device. */
  erase?: {
    /** The content of the box, where it is the same for all images. */
    colour(args: Arguments): Rgb | undefined;
    /** Draws the box of an image of this size, if there is one. */
    draw(args: Arguments, size: Size, random: RandomStream): Box | undefined;
  };
  /** Changes the floats in their place. */
  onFloats?(image: FloatImage, args: Arguments, random: RandomStream): void;
}

/** Types a transform by the schema of its arguments. */
export function define<Schema extends z.ZodObject>(
  transform: Transform<z.output<Schema>> & { readonly schema: Schema },
): Transform<z.output<Schema>> & { readonly schema: Schema } {
  return transform;
}

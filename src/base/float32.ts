/**
 * Limits of float32, in which the engine computes: numbers of a config and of weights are checked against them.
 *
 * @module
 */
import { z } from "../deps/zod.ts";

/** The largest finite float32. */
export const MAX_FLOAT32 = 3.4028234663852886e38;
/** The smallest normal float32 above 0; TensorFlow takes what is below it for 0. */
export const MIN_FLOAT32 = 1.1754943508222875e-38;

/**
 * Returns the fault of a number that float32 can't hold, as the end of a sentence: NaN, infinite, rounded to
 * infinity, or flushed to 0.
 *
 * @returns `undefined` when float32 holds the number
 */
export function float32Problem(value: number): string | undefined {
  if (!Number.isFinite(value)) return "not a finite number";
  if (!Number.isFinite(Math.fround(value))) {
    return "infinite in float32, in which the network computes: give at most 3.4e+38";
  }
  if (value !== 0 && Math.abs(value) < MIN_FLOAT32) {
    return "0 in float32, in which the network computes: give at least 1.2e-38";
  }
}

/** Schema of a number that float32 can hold. */
export function float32(): z.ZodNumber {
  return z.number().refine((value) => float32Problem(value) === undefined, {
    error: ({ input }) => `it is ${float32Problem(input as number)}`,
  });
}

/** Schema of a fraction from 0 to below 1 that doesn't round to 1 in float32. */
export function shareBelow1(message = "give a share below 1"): z.ZodNumber {
  return z.number().min(0, "give a share from 0").lt(1, message).refine(
    (value) => value >= 1 || Math.fround(value) < 1,
    {
      error: "it is 1 in float32, in which the network computes: give at most 0.9999999",
    },
  );
}

/** Position of the first NaN or infinity, or -1. */
export function findNonFinite(values: Float32Array): number {
  // A finite value times 0 is 0, any other is NaN: one loop without branches.
  let zeros = 0;
  for (let index = 0; index < values.length; index++) zeros += values[index] * 0;
  return zeros === 0 ? -1 : values.findIndex((value) => !Number.isFinite(value));
}

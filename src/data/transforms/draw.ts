/**
 * Small numbers' work that drawing parameters needs.
 *
 * @module
 */
import type { RandomStream } from "../../base/random.ts";

/** A number from `low` to `high`, evenly distributed. */
export function between([low, high]: readonly [number, number], random: RandomStream): number {
  return low + (high - low) * random();
}

/** A number from `low` to `high`, its logarithm evenly distributed. */
export function betweenLog([low, high]: readonly [number, number], random: RandomStream): number {
  return Math.exp(between([Math.log(low), Math.log(high)], random));
}

/** Rounds as Python does: a half goes to the even number. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}

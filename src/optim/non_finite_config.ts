/**
 * The config keys of steps whose loss or gradients are not finite.
 *
 * @module
 */
import { z } from "../deps/zod.ts";

/** The answers to a step that isn't finite. */
export const NON_FINITE_POLICIES = ["fail", "skip"] as const;

/** The most steps in a row that are skipped, unless configured. */
const DEFAULT_MAX_STEPS = 10;

/** Keys of steps that are not finite, as `train.*`. */
export const nonFiniteShape = {
  onNonFinite: z.enum(NON_FINITE_POLICIES).default("fail").describe(
    "The answer to a step whose loss or gradients are NaN or infinite on any worker: `fail` ends the " +
      "run before the update; `skip` leaves the step out on all workers, and counts it.",
  ),
  maxNonFiniteSteps: z.int().positive().max(1_000_000).default(DEFAULT_MAX_STEPS).describe(
    "With `onNonFinite: skip`, the most steps in a row that are skipped; one more ends the run.",
  ),
};

/** Keys of steps that are not finite, with their values. */
export interface NonFiniteConfig {
  readonly onNonFinite: (typeof NON_FINITE_POLICIES)[number];
  readonly maxNonFiniteSteps: number;
}

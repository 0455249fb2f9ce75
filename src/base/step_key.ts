/**
 * The position of a step in a run.
 *
 * @module
 */

/** A step's position in the run; later steps compare greater, epoch first. */
export interface StepKey {
  /** Counted from 1. */
  readonly epoch: number;
  /** Index within the epoch, from 0. */
  readonly step: number;
}

/** Returns a negative number, 0 or a positive one as `a` lies before, at or after `b`. */
export function compareSteps(a: StepKey, b: StepKey): number {
  return a.epoch - b.epoch || a.step - b.step;
}

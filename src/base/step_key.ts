/**
 * The position of a step in a run, and the points between steps. A step has an index from 0 (`step`); at a point, a
 * number of steps is done (`stepsDone`).
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

/** A point of a run: before the first step of an epoch, between two steps, or after the last one. */
export interface RunPoint {
  /** Counted from 1. */
  readonly epoch: number;
  /** Steps of the epoch that are done: the index of the step that comes next. */
  readonly stepsDone: number;
}

/**
 * A point as files, events and the public API name it. Their key `step` is a number of steps that are done, a
 * {@linkcode RunPoint}'s `stepsDone`, and not a {@linkcode StepKey}'s index.
 */
export interface RecordedPoint {
  /** Counted from 1. */
  readonly epoch: number;
  /** Steps of the epoch that are done. */
  readonly step: number;
}

/** Returns a point in the form of records. */
export function recorded({ epoch, stepsDone }: RunPoint): RecordedPoint {
  return { epoch, step: stepsDone };
}

/** Returns the point that a record names. */
export function pointOf({ epoch, step }: RecordedPoint): RunPoint {
  return { epoch, stepsDone: step };
}

/** Returns the step that was the last one before a point, which must not be before the first step of its epoch. */
export function lastStep({ epoch, stepsDone }: RunPoint): StepKey {
  return { epoch, step: stepsDone - 1 };
}

/** Returns the steps of a run that are done at a point. */
export function stepsBefore({ epoch, stepsDone }: RunPoint, stepsPerEpoch: number): number {
  return (epoch - 1) * stepsPerEpoch + stepsDone;
}

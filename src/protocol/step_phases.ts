/**
 * Parts of a step, as heartbeats name them.
 *
 * @module
 */

/** Parts of a step or a batch, in the order of their numbers in shared memory. */
export const STEP_PHASES = [
  "none",
  "waiting for its batch",
  "computing",
  "waiting for the other ranks",
  "updating its parameters",
  "summing gradients",
  "waiting for the coordinator",
] as const;
/** Part of a step or a batch that a process is in. */
export type StepPhase = (typeof STEP_PHASES)[number];

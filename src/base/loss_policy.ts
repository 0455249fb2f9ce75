/**
 * Policies of a run that loses a worker.
 *
 * @module
 */

/** Another worker takes the place of the lost one, the others go on alone, or the run ends. */
export const LOSS_POLICIES = ["restart", "shrink", "fail"] as const;
/** A value of the config key `onWorkerLost`. */
export type LossPolicy = (typeof LOSS_POLICIES)[number];

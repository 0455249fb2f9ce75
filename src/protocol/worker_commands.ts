/**
 * Names of the commands that a coordinator gives to its workers.
 *
 * @module
 */

/** The names. While a worker carries out a command, its heartbeats give the name as its activity. */
export const WORKER_COMMANDS = {
  /** Takes over the state that comes as payload. */
  loadState: "loadState",
  /** Trains steps of an epoch. */
  trainEpoch: "trainEpoch",
  /** Scores the rank's share of the samples. */
  validate: "validate",
  /** Each rank answers with the part of the state that it alone has, as payload. */
  readState: "readState",
  /** Measures; only workers of a benchmark's job know it. */
  benchmark: "benchmark",
  /** Ends the worker. */
  stop: "stop",
} as const;

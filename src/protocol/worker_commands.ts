/**
 * Names of the commands that a coordinator gives to its workers.
 *
 * @module
 */

/** The names. While a worker carries out a command, its heartbeats give the name as its activity. */
export const WORKER_COMMANDS = {
  /** Opens the exchange of a generation of ranks; a state that is there moves into its memory. */
  openExchange: "openExchange",
  /** Ends the command that is carried out, and the exchange; answers how many steps of it the state holds. */
  pause: "pause",
  /** Takes over the state that comes as payload. */
  loadState: "loadState",
  /** Trains steps of an epoch. */
  trainEpoch: "trainEpoch",
  /** Scores the rank's share of the samples. */
  validate: "validate",
  /** Answers with the state as payload. */
  readState: "readState",
  /** Measures; only workers of a benchmark's job know it. */
  benchmark: "benchmark",
  /** Ends the worker. */
  stop: "stop",
} as const;

/**
 * Versions that more than one part of Lockstep must agree on.
 *
 * @module
 */

/** Lockstep's own version. */
export const LOCKSTEP_VERSION = "0.1.0";
/** The TensorFlow release whose C library the engine binds. */
export const LIBTENSORFLOW_VERSION = "2.21.0";
/** The nats-server release that `deno task setup` fetches when none is on PATH. */
export const NATS_SERVER_VERSION = "2.15.1";

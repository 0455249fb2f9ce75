/**
 * Versions that more than one part of Lockstep must agree on.
 *
 * @module
 */
import project from "../../deno.json" with { type: "json" };

/** Lockstep's own version: that of deno.json. */
export const LOCKSTEP_VERSION: string = project.version;
/** The TensorFlow release whose C library the engine binds. */
export const LIBTENSORFLOW_VERSION = "2.21.0";
/** The nats-server release that `deno task setup` fetches when none is on PATH. */
export const NATS_SERVER_VERSION = "2.15.1";

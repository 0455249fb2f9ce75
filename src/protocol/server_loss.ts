/**
 * The time for which a lost nats-server is waited for, and the failure after it.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";

/** Seconds for which a server that is gone or stands still is waited for, unless a config says otherwise. */
export const DEFAULT_RECONNECT_TIMEOUT = 30;

/** Restarts of an own server within an hour, unless a config says otherwise. */
export const DEFAULT_MAX_SERVER_RESTARTS = 10;

/**
 * Seconds by which a worker waits longer than the coordinator, which restarts its own server, and whose error says
 * more.
 */
export const WORKER_WAITS_LONGER = 10;

/** The same for the coordinator's connection to its own server: the error of the restart comes first. */
export const OWNER_WAITS_LONGER = 5;

/** A server is gone, or stands still, for longer than it is waited for. */
export class ServerGoneError extends LockstepError {
  override name = "ServerGoneError";

  /**
   * @param server Its host and port
   * @param what What it has been doing: `has been gone`, for example
   */
  constructor(server: string, what: string, seconds: number) {
    super(
      `The nats-server at ${server} ${what} for ${
        Math.round(seconds)
      } s: start it again, and go on with --resume ` +
        "(nats.reconnectTimeout says for how long a run waits)",
    );
  }
}

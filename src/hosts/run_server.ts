/**
 * The nats-server of a run: the configured one, or one that lives as long as the cluster and is restarted when it dies.
 *
 * @module
 */
import { delay } from "../base/async.ts";
import { LockstepError, reasonOf } from "../base/errors.ts";
import { given } from "../base/given.ts";
import type { NatsAddress } from "../protocol/address.ts";
import type { Link } from "../protocol/link.ts";
import { type ForeignServer, serverAddress } from "../protocol/server_address.ts";
import {
  DEFAULT_MAX_SERVER_RESTARTS,
  DEFAULT_RECONNECT_TIMEOUT,
  OWNER_WAITS_LONGER,
} from "../protocol/server_loss.ts";
import {
  type Broker,
  type BrokerExit,
  type BrokerOptions,
  type ServerCertificate,
  startBroker,
} from "./broker.ts";
import { LastHour } from "./last_hour.ts";
import { describeExit } from "./lines.ts";
import { requireProtection } from "./listening.ts";
import type { ServerUsers } from "./server_users.ts";

/** The server that a cluster talks through. */
export interface ServerOptions {
  /** A running server; without it, a server is started. */
  readonly foreign?: ForeignServer | undefined;
  /** Port of the server to start; a free one unless given. */
  readonly port?: number | undefined;
  /** Address that the server to start listens on; 127.0.0.1 unless given. */
  readonly host?: string | undefined;
  /** Certificate and key of the server to start; without them it speaks no TLS. */
  readonly tls?: ServerCertificate | undefined;
  /** As of `BrokerOptions`. */
  readonly plainOnLoopback?: boolean | undefined;
  /** Users of the server to start; new ones unless given. */
  readonly users?: ServerUsers | undefined;
  /** The nats-server program; unused with `foreign`. */
  readonly program?: string | undefined;
  /** Id of the run that a server is started for. */
  readonly runId?: string | undefined;
  /** Seconds for which a server that is gone or stands still is waited for (30 unless given). */
  readonly reconnectTimeout?: number | undefined;
  /** Restarts within an hour of a server that was started here (10 unless given). */
  readonly maxRestarts?: number | undefined;
}

/** The listeners to what happens to a run's server. */
export interface ServerListeners {
  readonly onWarning: (message: string) => void;
  /** Called with the reason when a server that was started here is lost for good. */
  readonly onLost: (error: LockstepError) => void;
}

/** The server of a run, as long as the cluster lives. */
export interface RunServer {
  readonly address: NatsAddress;
  /** Seconds for which the coordinator's connection waits for it. */
  readonly reconnectTimeout: number;
  /** Kills and restarts a server that was started here; absent for a configured one. */
  readonly replace?: () => void;
}

/** The server's process ends in this many milliseconds at most before the next attempt to start it begins. */
const RETRY_MS = 500;

/**
 * Returns the run's server, and starts one unless one is configured.
 *
 * @param stack Gets the disposal of a server that was started
 * @throws {LockstepError} when the server doesn't start
 */
export async function openServer(
  options: ServerOptions,
  stack: AsyncDisposableStack,
  listeners: ServerListeners,
): Promise<RunServer> {
  const { foreign, program, reconnectTimeout = DEFAULT_RECONNECT_TIMEOUT } = options;
  if (foreign) return { address: await serverAddress(foreign), reconnectTimeout };
  if (!program) throw new TypeError("Neither nats.url nor a nats-server program is given");
  requireProtection({
    host: options.host ?? "127.0.0.1",
    hasTls: options.tls !== undefined,
    hasUsers: true, // a server that is started here lets in nobody without an nkey
  });
  const server = stack.use(await OwnServer.start(program, options, listeners));
  return {
    address: server.address,
    reconnectTimeout: reconnectTimeout + OWNER_WAITS_LONGER,
    replace: () => server.replace(),
  };
}

/** Warns when the connection to the run's server is lost, and when it is back. */
export function tellOfOutages(
  link: Link,
  { replace, reconnectTimeout }: RunServer,
  onWarning: (message: string) => void,
): void {
  const at = `The nats-server at ${link.server}`;
  // The end of an own server's process has its own warning.
  if (!replace) {
    link.onLoss(() =>
      onWarning(`${at} is gone: the run waits for it, up to ${reconnectTimeout} s`)
    );
  }
  link.onReconnect((goneMs) =>
    onWarning(`${at} is back after ${(goneMs / 1000).toFixed(1)} s: the run goes on`)
  );
}

/** A server that was started here, and is restarted at its port, with its credentials, when it ends. */
class OwnServer implements AsyncDisposable {
  readonly address: NatsAddress;
  /** The options with which the server is started again. */
  readonly #start: BrokerOptions;
  readonly #reconnectTimeout: number;
  readonly #maxRestarts: number;
  readonly #listeners: ServerListeners;
  /** The ends of the server's processes after which it was restarted. */
  readonly #restarts = new LastHour<BrokerExit>();
  #broker: Broker;
  readonly #stopped = new AbortController();
  readonly #watching: Promise<void>;

  private constructor(
    broker: Broker,
    program: string,
    {
      runId,
      host,
      tls,
      plainOnLoopback,
      reconnectTimeout = DEFAULT_RECONNECT_TIMEOUT,
      maxRestarts = DEFAULT_MAX_SERVER_RESTARTS,
    }: ServerOptions,
    listeners: ServerListeners,
  ) {
    this.address = broker;
    this.#broker = broker;
    this.#start = {
      executable: program,
      port: Number(new URL(broker.url).port),
      users: broker.users,
      ...given("runId", runId),
      ...given("host", host),
      ...given("tls", tls),
      ...given("plainOnLoopback", plainOnLoopback),
    };
    this.#reconnectTimeout = reconnectTimeout;
    this.#maxRestarts = maxRestarts;
    this.#listeners = listeners;
    this.#watching = this.#watch();
  }

  static async start(
    program: string,
    options: ServerOptions,
    listeners: ServerListeners,
  ): Promise<OwnServer> {
    const { port, runId, host, tls, users, plainOnLoopback } = options;
    const broker = await startBroker({
      executable: program,
      ...given("port", port),
      ...given("runId", runId),
      ...given("host", host),
      ...given("tls", tls),
      ...given("users", users),
      ...given("plainOnLoopback", plainOnLoopback),
    });
    return new OwnServer(broker, program, options, listeners);
  }

  /** Kills the server, which is then restarted. */
  replace(): void {
    this.#broker.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort();
    // A restart that is under way may have begun a new server.
    await Promise.all([this.#broker.stop(), this.#watching]);
    await this.#broker.stop();
  }

  async #watch(): Promise<void> {
    for (;;) {
      const exit = await this.#broker.exited;
      if (this.#stopped.signal.aborted) return;
      try {
        await this.#restart(exit);
      } catch (error) {
        if (!this.#stopped.signal.aborted) this.#listeners.onLost(error as LockstepError);
        return;
      }
    }
  }

  /** @throws {LockstepError} when it was restarted too often, or can't be restarted in time */
  async #restart(exit: BrokerExit): Promise<void> {
    const begin = performance.now();
    const how = `nats-server (pid ${this.#broker.pid}) ${describeExit(exit)}`;
    const { length: times } = this.#restarts.all;
    if (times >= this.#maxRestarts) throw this.#diesAgainError(how, times);
    this.#restarts.add(exit);
    this.#listeners.onWarning(`${how}: it is started again at its port`);
    for (;;) {
      try {
        this.#broker = await startBroker(this.#start);
        return;
      } catch (error) {
        if (performance.now() - begin > 1000 * this.#reconnectTimeout) {
          throw new LockstepError(
            `${how}, and couldn't be started again within ${this.#reconnectTimeout} s ` +
              `(nats.reconnectTimeout): ${reasonOf(error)}`,
            { cause: error },
          );
        }
      }
      await delay(RETRY_MS, this.#stopped.signal);
    }
  }

  #diesAgainError(how: string, times: number): LockstepError {
    const last = this.#broker.lastLine;
    return new LockstepError(
      `${how}${last ? ` (${last})` : ""}, and was started again ${times} ` +
        `${
          times === 1 ? "time" : "times"
        } within the last hour: find out what ends it, or raise nats.maxRestarts, and ` +
        "go on with --resume",
    );
  }
}

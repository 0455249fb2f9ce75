/**
 * The nats-server of a run: the one that was asked for, or one that lives as long as the cluster.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import type { NatsAddress } from "../protocol/address.ts";
import { serverAddress } from "../protocol/server_address.ts";
import { type Broker, startBroker } from "./broker.ts";
import { describeExit } from "./lines.ts";

/** The server that a cluster talks through. */
export interface ServerOptions {
  /** A running server; one is started unless given. */
  readonly url?: string | undefined;
  /** Path of the certificate of the authority that signed its own. */
  readonly ca?: string | undefined;
  /** Port of the server that is started; a free one unless given. */
  readonly port?: number | undefined;
  /** The nats-server program; not needed with `url`. */
  readonly program?: string | undefined;
}

/**
 * Returns the address of the run's server, started here unless it runs already.
 *
 * @param stack Gets the stop of a server that was started
 * @param onLost Called with the reason when a server that was started here is gone for good
 * @throws {LockstepError} when the server doesn't start
 */
export async function openServer(
  { url: foreign, ca, port, program: executable }: ServerOptions,
  stack: AsyncDisposableStack,
  onLost: (error: LockstepError) => void,
): Promise<NatsAddress> {
  if (foreign) return await serverAddress({ url: foreign, ca });
  if (!executable) throw new TypeError("Neither nats.url nor a nats-server program is given");
  let broker: Broker = await startBroker({ executable, ...(port === undefined ? {} : { port }) });
  const { url, token } = broker;
  let expected = false;
  let restart = Promise.resolve();
  stack.defer(async () => {
    expected = true;
    await restart;
    await broker.stop();
  });
  const watch = async () => {
    const exit = await broker.exited;
    if (expected) return;
    // The server takes SIGTERM for an order of its own. When all processes got it (Slurm, systemd), the run still
    // needs it, for the last checkpoint.
    if (exit.code === 0) {
      const port = Number(new URL(url).port);
      restart = startBroker({ executable, port, token }).then((next) => void (broker = next));
      if (await restart.then(() => true, () => false)) return void watch();
      restart = Promise.resolve();
    }
    onLost(
      new LockstepError(
        `nats-server (pid ${broker.pid}) ${describeExit(exit)}: the run can't go on without it`,
      ),
    );
  };
  void watch();
  return { url, token };
}

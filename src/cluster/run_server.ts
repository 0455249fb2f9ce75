/**
 * The nats-server of a run: the configured one, or one that lives as long as the cluster.
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
  /** Address of a running server; without it, a server is started. */
  readonly url?: string | undefined;
  /** Path of the CA certificate that signed the server's certificate. */
  readonly ca?: string | undefined;
  /** Port of the server to start; a free one unless given. */
  readonly port?: number | undefined;
  /** The nats-server program; unused with `url`. */
  readonly program?: string | undefined;
}

/**
 * Returns the address of the run's server, and starts a server unless one is configured.
 *
 * @param stack Gets the disposal of a server that was started
 * @param onLost Called with the reason when a server that was started here is lost for good
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
    // The server exits with code 0 after SIGTERM. When all processes get SIGTERM (Slurm, systemd), the run still
    // needs a server for the last checkpoint.
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

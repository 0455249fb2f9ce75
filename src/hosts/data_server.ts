/**
 * The nats-server of a host to which the ranks of other hosts connect, to bring their vectors.
 *
 * @module
 */
import { nkeys } from "../deps/nats_core.ts";
import { type LockstepError, UsageError } from "../base/errors.ts";
import { fingerprint } from "../protocol/fingerprint.ts";
import type { ReachableServer } from "./host_calls.ts";
import { openServer } from "./run_server.ts";
import { checkPort, type ServerCertificate } from "./broker.ts";
import { makeServerUsers, userOf } from "./server_users.ts";

/** Settings of the data servers of a host. */
export interface DataServerOptions {
  /** The nats-server program. */
  readonly program: string;
  /** The address to listen on. */
  readonly host: string;
  /** The first port to try, and some behind it, so that firewalls can be told; any free one where they are taken. */
  readonly firstPort?: number | undefined;
  /** Addresses at which other hosts may reach this one, the most likely first. */
  readonly addresses: readonly string[];
  /** Absent on loopback alone. */
  readonly tls?: ServerCertificate | undefined;
  /** Called when a server that was restarted too often is lost for good. */
  readonly onLost?: (error: LockstepError) => void;
  readonly onWarning: (message: string) => void;
}

/** Ports that are tried in a row. */
const PORTS_TRIED = 8;
const MAX_PORT = 65_535;

/** Returns the first of some ports that nobody listens at; nothing if all are taken. */
export async function freePortFrom(
  first: number | undefined,
  host: string,
): Promise<number | undefined> {
  if (first === undefined) return undefined;
  const last = Math.min(first + PORTS_TRIED - 1, MAX_PORT);
  for (let port = first; port <= last; port++) {
    const isFree = await checkPort(port, host).then(() => true, () => false);
    if (isFree) return port;
  }
  return undefined;
}

/** A running data server; restarted at its port when it ends. */
export class DataServer implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;
  readonly reachable: Omit<ReachableServer, "name">;

  private constructor(stack: AsyncDisposableStack, reachable: Omit<ReachableServer, "name">) {
    this.#stack = stack;
    this.reachable = reachable;
  }

  /** Returns the seed of a new nkey for the ranks of a run. */
  static makeNkey(): string {
    return new TextDecoder().decode(nkeys.createUser().getSeed());
  }

  /**
   * Starts a server for the ranks that have an nkey.
   *
   * @throws {LockstepError} when it doesn't start
   */
  static async start(nkey: string, options: DataServerOptions): Promise<DataServer> {
    const { program, host, addresses, tls, onWarning, onLost } = options;
    await using stack = new AsyncDisposableStack();
    // The ranks may use all subjects of the run, as a coordinator may.
    const users = { ...makeServerUsers(), coordinator: userOf({ nkey }) };
    const settings = { program, host, tls, users, plainOnLoopback: true };
    const open = async (port: number | undefined) =>
      await openServer({ ...settings, port }, stack, {
        onWarning,
        onLost: (error) => onLost?.(error),
      });
    const port = await freePortFrom(options.firstPort, host);
    const { address } = await open(port).catch((error) => {
      if (!(error instanceof UsageError) || port === undefined) throw error;
      return open(undefined); // another program has just taken the port
    });
    const reachable = {
      ...{ addresses: [...addresses], port: Number(new URL(address.url).port) },
      ...(tls ? { fingerprint: fingerprint(tls.certificate) } : {}),
    };
    return new DataServer(stack.move(), reachable);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/**
 * Kills the nats-server of a run in this process at chosen places: just before the coordinator publishes a message.
 *
 * @module
 */
import { Broker } from "../../src/hosts/broker.ts";
import { Link } from "../../src/protocol/link.ts";

/** A message of the coordinator's, by what names the place in a run. */
export interface Place {
  readonly kind: string;
  /** Of a command. */
  readonly name?: string;
  readonly epoch?: number;
  readonly step?: number;
  readonly chunk?: number;
  /** Of a welcome, or of a command that opens an exchange. */
  readonly generation?: number;
}

/** The places at which a server was killed, and the pids of all servers of the run. */
export interface ServerKiller extends Disposable {
  readonly killed: Place[];
  readonly pids: number[];
}

/**
 * Arms the killer until it is disposed of.
 *
 * @param places Each is used once, at the first message that has all of its values
 */
export function killServerAt(
  places: readonly Place[],
  signal: Deno.Signal = "SIGKILL",
): ServerKiller {
  const left = [...places];
  const killed: Place[] = [];
  const pids: number[] = [];
  const { launch } = Broker;
  const { publish, publishInPlace } = Link.prototype;
  Broker.launch = async (...args) => {
    const broker = await launch.apply(Broker, args);
    pids.push(broker.pid);
    return broker;
  };
  const strike = (link: Link, kind: string, fields: { readonly args?: unknown }) => {
    if (link.serverGone) return; // it comes again
    const message = { ...Object(fields.args), ...fields, kind } as Record<string, unknown>;
    const at = left.findIndex((place) =>
      Object.entries(place).every(([key, value]) => message[key] === value)
    );
    if (at < 0) return;
    try {
      Deno.kill(pids.at(-1)!, signal);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return; // it is dead, and the link doesn't know it yet
      throw error;
    }
    killed.push(...left.splice(at, 1));
  };
  Link.prototype.publish = function (subject, kind, fields, payload) {
    strike(this, kind, fields);
    publish.call(this, subject, kind, fields as never, payload);
  };
  Link.prototype.publishInPlace = function (subject, kind, fields, frame) {
    strike(this, kind, fields);
    publishInPlace.call(this, subject, kind, fields as never, frame);
  };
  return {
    killed,
    pids,
    [Symbol.dispose]: () => {
      Broker.launch = launch;
      Object.assign(Link.prototype, { publish, publishInPlace });
    },
  };
}

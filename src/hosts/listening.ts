/**
 * The address at which the coordinator's nats-server listens for other hosts.
 *
 * @module
 */
import { isIP } from "node:net";
import { UsageError } from "../base/errors.ts";
import { DEFAULT_PORT } from "../protocol/address.ts";

/** An address to listen at. */
export interface ListenAddress {
  /** An IP address without brackets, or a name. */
  readonly host: string;
  /** 0 stands for any free port. */
  readonly port: number;
}

/** The protection of a server that listens. */
export interface Protection {
  readonly host: string;
  /** True if the server speaks TLS. */
  readonly hasTls: boolean;
  /** True if the server lets in only those who have a token or other credentials. */
  readonly hasUsers: boolean;
}

const MAX_PORT = 65_535;
const FORM =
  "write 0.0.0.0:4222 for all addresses of this machine, or one of them, such as 10.0.0.1:4222";

/**
 * Reads an address to listen at: `host:port`, a host alone (port 4222), or a port alone (all addresses).
 *
 * @throws {UsageError} When it is something else; the message is the end of a sentence that names the key
 */
export function parseListen(text: string): ListenAddress {
  const trimmed = text.trim();
  if (/^[a-z][a-z\d+.-]*:\/\//i.test(trimmed)) {
    throw new UsageError(`it is a URL, and an address belongs here: ${FORM}`);
  }
  if (/^:?\d{1,5}$/.test(trimmed)) {
    return { host: "0.0.0.0", port: portOf(trimmed.replace(":", "")) };
  }
  if (isIP(trimmed) === 6) {
    throw new UsageError(`it is an IPv6 address without brackets: write [${trimmed}]:4222`);
  }
  const [whole, bracketed, plain, port = DEFAULT_PORT] =
    /^(?:\[([\da-f:.]+)\]|([\w.-]+))(?::(\d+))?$/i.exec(trimmed) ?? [];
  const host = bracketed ?? plain;
  if (!whole || !host || (bracketed !== undefined && isIP(bracketed) !== 6)) {
    throw new UsageError(`it is no address to listen at: ${FORM}`);
  }
  if (/^[\d.]+$/.test(host) && isIP(host) !== 4) {
    throw new UsageError(`it has no IPv4 address (four numbers up to 255): ${FORM}`);
  }
  return { host: host.toLowerCase(), port: portOf(port) };
}

function portOf(digits: string): number {
  const port = Number(digits);
  if (port <= MAX_PORT) return port;
  throw new UsageError(`it has the port ${digits}: a port is at most ${MAX_PORT}`);
}

/** Tells whether only this machine reaches an address. */
export function isLoopback(host: string): boolean {
  const plain = host.toLowerCase().replace(/^\[|\]$/g, "");
  return plain === "localhost" || plain === "::1" || /^(::ffff:)?127\.\d+\.\d+\.\d+$/.test(plain);
}

/**
 * Refuses a server that other machines reach, and that anybody could read or use.
 *
 * @throws {UsageError} With the remedy
 */
export function requireProtection({ host, hasTls, hasUsers }: Protection): void {
  if (isLoopback(host)) return;
  const missing = [...(hasTls ? [] : ["TLS"]), ...(hasUsers ? [] : ["a token"])];
  if (missing.length === 0) return;
  const cures = [
    ...(hasTls ? [] : ["leave out hosts.tls, or set it to true"]),
    ...(hasUsers ? [] : ["name a file with a token by hosts.tokenFile"]),
  ];
  throw new UsageError(
    `Other machines reach ${host}, so a server may not listen there without ${
      missing.join(" and ")
    }: ${cures.join(", and ")}; or listen at 127.0.0.1, which only this machine reaches`,
  );
}

/**
 * Addresses of nats-servers, and the credentials in them, which leave an address as soon as it is read: what is kept,
 * shown and compared is the address without them.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { keepSecret, maskAddress } from "../base/secrets.ts";

/** Where a server is, and how to be let in. */
export interface NatsAddress {
  /** `nats://[user:password@ | token@]host[:port]`, or `tls://…`. */
  readonly url: string;
  /** Token of the server, when the URL carries none. */
  readonly token?: string;
}

/** Environment variable that names a server as `--nats` does, where no other process sees the credentials. */
export const NATS_URL_VARIABLE = "LOCKSTEP_NATS_URL";

const DEFAULT_PORT = "4222";

/** The address with credentials of each server that this process was told credentials of, by `host:port`. */
const known = new Map<string, string>();

/** The parts of an address. */
export interface ParsedAddress {
  /** `host:port`. */
  readonly server: string;
  readonly tls: boolean;
  readonly credentials: { token?: string; user?: string; pass?: string };
}

/**
 * Takes the credentials out of an address, and keeps them in this process alone, for {@linkcode withCredentials}.
 *
 * @returns The address without credentials
 * @throws {UsageError} When it is not a URL of NATS
 */
export function takeCredentials(url: string): string {
  const { server, credentials: { token, pass } } = parseAddress({ url });
  const secret = pass ?? token;
  if (secret === undefined) return url;
  keepSecret(secret);
  known.set(server, url);
  const at = url.lastIndexOf("@");
  const scheme = /^[a-z]+:\/\//i.exec(url)?.[0] ?? "";
  return scheme + url.slice(at + 1);
}

/** The address of a server with the credentials that this process was told for it, if any. */
export function withCredentials(url: string): string {
  return known.get(parseAddress({ url }).server) ?? url;
}

/**
 * Reads an address.
 *
 * @throws {UsageError} When it is not a URL of NATS
 */
export function parseAddress({ url, token }: NatsAddress): ParsedAddress {
  const withScheme = /^[a-z]+:\/\//i.test(url) ? url : `nats://${url}`;
  const parsed = URL.parse(withScheme);
  const decoded = parsed && decodeCredentials(parsed);
  if (!parsed?.hostname || !decoded || !["nats:", "tls:"].includes(parsed.protocol)) {
    throw new UsageError(
      `Not the URL of a nats-server: ${
        maskAddress(url)
      } (write nats://host:4222; in a password, write @ as %40 and / as %2F)`,
    );
  }
  const { user, pass } = decoded;
  const own = user && pass ? { user, pass } : user ? { token: user } : undefined;
  return {
    server: `${parsed.hostname}:${parsed.port || DEFAULT_PORT}`,
    tls: parsed.protocol === "tls:",
    credentials: own ?? (token ? { token } : {}),
  };
}

/** User and password of a URL; nothing where they are no percent-encoding. */
function decodeCredentials(
  { username, password }: URL,
): { user: string; pass: string } | undefined {
  try {
    return { user: decodeURIComponent(username), pass: decodeURIComponent(password) };
  } catch {
    return undefined; // the caller says what is wrong
  }
}

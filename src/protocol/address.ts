/**
 * Addresses of nats-servers, and the credentials in them. Credentials are removed from an address as soon as
 * it is read: only the address without credentials is kept, shown and compared.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { keepSecret, maskAddress } from "../base/secrets.ts";

/** The address of a server, with the credentials for it. */
export interface NatsAddress {
  /** `nats://[user:password@ | token@]host[:port]`, or `tls://…`. */
  readonly url: string;
  /** Token of a server that Lockstep started itself. */
  readonly token?: string | undefined;
  /** Certificates of authorities, as PEM, that may vouch for the server beside those that this machine knows. */
  readonly ca?: string | undefined;
}

/** Environment variable that names the file of `nats.ca`, for any command. */
export const NATS_CA_VARIABLE = "LOCKSTEP_NATS_CA";

/** Environment variable that names a server as `--nats` does, where no other process sees the credentials. */
export const NATS_URL_VARIABLE = "LOCKSTEP_NATS_URL";

const DEFAULT_PORT = "4222";

/** The address with credentials of each server whose credentials this process was given, by `host:port`. */
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
  if (secret) keepSecret(secret);
  known.set(server, url);
  const at = url.lastIndexOf("@");
  const scheme = /^[a-z]+:\/\//i.exec(url)?.[0] ?? "";
  return scheme + url.slice(at + 1);
}

/** The address of a server with the credentials that this process was given for it, if any. */
export function withCredentials(url: string): string {
  return known.get(parseAddress({ url }).server) ?? url;
}

/**
 * Reads an address. Credentials are all up to the last `@`.
 *
 * @throws {UsageError} When it is not a URL of NATS; the message names the problem
 */
export function parseAddress({ url, token }: NatsAddress): ParsedAddress {
  const text = url.trim();
  const refuse = (reason: string): never => {
    throw new UsageError(
      `Not the URL of a nats-server: ${maskAddress(text)}: ${reason}; ${HOW_TO_WRITE}`,
    );
  };
  const [head = "", scheme = "nats"] = /^([a-z][a-z\d+.-]*):\/\//i.exec(text) ?? [];
  const name = scheme.toLowerCase();
  if (name !== "nats" && name !== "tls") {
    refuse(`Lockstep speaks NATS over TCP (nats://) or TLS (tls://), not ${name}://`);
  }
  const rest = text.slice(head.length);
  const at = rest.lastIndexOf("@");
  const own = at < 0 ? undefined : decodeCredentials(rest.slice(0, at), refuse);
  return {
    server: parsePlace(rest.slice(at + 1), refuse),
    tls: name === "tls",
    credentials: own ?? (token ? { token } : {}),
  };
}

const HOW_TO_WRITE =
  "write nats://host:4222, where needed with user:password@ or TOKEN@ before the host";
const MAX_PORT = 65_535;
/** Characters that end a part of a URL. */
const RESERVED = /[/?#\s]|%(?![\da-f]{2})/gi;

/** The `host:port` of a server. */
function parsePlace(text: string, refuse: (reason: string) => never): string {
  const place = text.replace(/\/$/, "");
  if (place === "") refuse("it names no host");
  if (place.includes(",")) refuse("it names several servers, and one is needed");
  if (/^(nats|tls):/i.test(place)) refuse(`two slashes belong behind ${place.split(":")[0]}:`);
  const behind = /[/?#].*$/s.exec(place)?.[0];
  if (behind) refuse(`"${behind}" has no meaning behind the host and port`);
  const [whole, host = "", port = DEFAULT_PORT] =
    /^(\[[\da-f:.]+\]|[^:[\]]+)(?::(.*))?$/is.exec(place) ?? [];
  if (!whole) {
    if (/^[\da-f]*:[\da-f:.]*$/i.test(place)) {
      refuse("an IPv6 address stands in brackets, as in [::1]");
    }
    refuse(`"${place}" is no host and port`);
  }
  if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > MAX_PORT) {
    refuse(`the port is "${port}", and must be 1 to ${MAX_PORT}`);
  }
  const hostname = URL.parse(`http://${host}`)?.hostname;
  if (!hostname) return refuse(`"${host}" is no name of a host`);
  return `${hostname}:${Number(port)}`;
}

/** User and password of a URL, or the token. */
function decodeCredentials(
  text: string,
  refuse: (reason: string) => never,
): ParsedAddress["credentials"] {
  const odd = [...new Set(text.match(RESERVED))];
  if (odd.length > 0) {
    const escapes = odd.map((character) => `"${character}" as ${encodeURIComponent(character)}`);
    refuse(`in its user, password or token write ${escapes.join(", ")}`);
  }
  const [user, password] = splitOnce(text, ":");
  const name = decoded(user, refuse);
  if (password === undefined) return name ? { token: name } : {};
  if (!name) refuse("it has a password and no user");
  return { user: name, pass: decoded(password, refuse) };
}

/** The text before a separator, and that behind it where there is one. */
function splitOnce(text: string, separator: string): [before: string, after?: string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + separator.length)];
}

function decoded(part: string, refuse: (reason: string) => never): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return refuse('in its user, password or token write "%" as %25');
  }
}

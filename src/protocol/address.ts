/**
 * Addresses of nats-servers, and the credentials in them. Credentials are removed from an address as soon as
 * it is read: only the address without credentials is kept, shown and compared.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { keepSecret, maskAddress } from "../base/secrets.ts";
import { type Credentials, secretOf } from "./credentials.ts";

/** The address of a server, with the credentials for it. */
export interface NatsAddress {
  /** `nats://[user:password@ | token@]host[:port]`, or `tls://…`. */
  readonly url: string;
  /** Credentials that aren't part of the URL. */
  readonly credentials?: Credentials | undefined;
  /** The workers' credentials, where they differ from the coordinator's. */
  readonly workerCredentials?: Credentials | undefined;
  /** True for a server on this machine that is spoken to without TLS, though it has it for others. */
  readonly plain?: boolean | undefined;
  /** True for a server that Lockstep started itself. */
  readonly own?: boolean | undefined;
  /** The host and each of its addresses with the port: all that a worker may connect to. */
  readonly reach?: readonly string[] | undefined;
  /** The file that the credentials come from, which workers may not read. */
  readonly credentialsFile?: string | undefined;
  /** Beginning of the subjects of runs on this server; `lockstep` unless given. */
  readonly prefix?: string | undefined;
  /** Certificates of authorities, as PEM, that may vouch for the server beside those that this machine knows. */
  readonly ca?: string | undefined;
  /** The name that the server's certificate is made out to, where it isn't the host of the URL. */
  readonly tlsName?: string | undefined;
  /** Fingerprint of the server's certificate, which the server shows: no other certificate will do. */
  readonly fingerprint?: string | undefined;
}

/** Environment variable that names the file of `nats.ca`, for any command. */
export const NATS_CA_VARIABLE = "LOCKSTEP_NATS_CA";

/** Environment variable that names the file of `nats.credentials`, for any command. */
export const NATS_CREDENTIALS_VARIABLE = "LOCKSTEP_NATS_CREDENTIALS";

/** Environment variable with the value of `nats.prefix`, for any command. */
export const NATS_PREFIX_VARIABLE = "LOCKSTEP_NATS_PREFIX";

/** Environment variable that names a server as `--nats` does, where no other process sees the credentials. */
export const NATS_URL_VARIABLE = "LOCKSTEP_NATS_URL";

/** Port of a nats-server unless an address has another. */
export const DEFAULT_PORT = "4222";

/** The address with credentials of each server whose credentials this process was given, by `host:port`. */
const known = new Map<string, string>();

/** The parts of an address. */
export interface ParsedAddress {
  /** `host:port`. */
  readonly server: string;
  readonly tls: boolean;
  readonly credentials: Credentials | undefined;
}

/**
 * Takes the credentials out of an address, and keeps them in this process alone, for {@linkcode withCredentials}.
 *
 * @returns The address without credentials
 * @throws {UsageError} When it is not a URL of NATS
 */
export function takeCredentials(url: string): string {
  const { server, credentials } = parseAddress({ url });
  if (!credentials) return url;
  const secret = secretOf(credentials);
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
export function parseAddress({ url, credentials }: NatsAddress): ParsedAddress {
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
    credentials: own ?? credentials,
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
  if (/^[\da-f]*:[\da-f.]*:[\da-f:.]*$/i.test(place)) {
    refuse("an IPv6 address stands in brackets, as in [::1]");
  }
  const [whole, host = "", port = DEFAULT_PORT] =
    /^(\[[\da-f:.]+\]|[^:[\]]+)(?::(.*))?$/is.exec(place) ?? [];
  if (!whole) refuse(`"${place}" is no host and port`);
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
): Credentials | undefined {
  const odd = [...new Set(text.match(RESERVED))];
  if (odd.length > 0) {
    const escapes = odd.map((character) => `"${character}" as ${encodeURIComponent(character)}`);
    refuse(`in its user, password or token write ${escapes.join(", ")}`);
  }
  const [user, password] = splitOnce(text, ":");
  const name = decoded(user, refuse);
  if (password === undefined) return name ? { token: name } : undefined;
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

/**
 * The line to paste on another host, and the address in it.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { task } from "../base/invocation.ts";
import { maskAddress } from "../base/secrets.ts";
import { shellWord } from "../base/shell.ts";
import { parseAddress } from "../protocol/address.ts";
import { parseFingerprint } from "../protocol/fingerprint.ts";
import { isLoopback } from "./listening.ts";

/**
 * The way in which the server is known: by the fingerprint in the address; by that of the token's certificate; by an
 * authority; or not at all, on this machine.
 */
export type ServerTrust =
  | { readonly kind: "fingerprint"; readonly fingerprint: string }
  | { readonly kind: "token" }
  | { readonly kind: "authority" }
  | { readonly kind: "plain" };

/** The server that a host joins, as `--join` names it. */
export interface JoinAddress {
  /** `host:port` of each address of the server; the first that answers is used. */
  readonly servers: readonly string[];
  readonly trust: ServerTrust;
}

/** The most addresses of one server. */
const MAX_SERVERS = 8;
/** The text behind `#` for a server without TLS. */
const PLAIN = "plain";
const COPY = "copy the line as the coordinator printed it";

/**
 * Reads the address of `--join`: `nats://host:4222#FINGERPRINT`, or without a fingerprint where the certificate is the
 * token's; `tls://host:4222` for a certificate that an authority vouches for. Several addresses of the server stand with
 * commas between them.
 *
 * @param where The flag or variable, for messages
 * @throws {UsageError} When it has another form
 */
export function parseJoin(text: string, where = "--join"): JoinAddress {
  const refuse = (reason: string): never => {
    throw new UsageError(`${where} is ${maskAddress(text)}: ${reason}`);
  };
  const trimmed = text.trim();
  if (/^deno\s|--join\b/.test(trimmed)) refuse("give the address alone, which follows --join");
  if (/\s/.test(trimmed)) refuse(`an address has no spaces: ${COPY}`);
  if (trimmed === "") refuse(`it has nothing in it: ${COPY}`);
  const [head = "", behind, ...rest] = trimmed.split("#");
  if (rest.length > 0) refuse(`it has "#" more than once: ${COPY}`);
  if (head.includes("@")) {
    refuse("no user, password or token stands in it: name the token's file by --token-file");
  }
  const { isTls, servers } = parseServers(head, where, refuse);
  return { servers, trust: trustOf(behind, { isTls, servers }, refuse) };
}

function parseServers(
  head: string,
  where: string,
  refuse: (reason: string) => never,
): { isTls: boolean; servers: string[] } {
  const scheme = /^([a-z][a-z\d+.-]*:\/\/)?/i.exec(head)?.[0] ?? "";
  const places = head.slice(scheme.length).replace(/\/$/, "").split(",");
  if (places.length > MAX_SERVERS) refuse(`it has more than ${MAX_SERVERS} addresses`);
  try {
    const servers = places.map((place) => parseAddress({ url: scheme + place }).server);
    return { isTls: scheme.toLowerCase() === "tls://", servers: [...new Set(servers)] };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const reason = error.message.replace(/^Not the URL of a nats-server: .*?: /, "")
      .replace(/; write nats:\/\/.*$/, "");
    throw new UsageError(`${where} is ${maskAddress(head)}: ${reason}: ${COPY}`, { cause: error });
  }
}

function trustOf(
  behind: string | undefined,
  { isTls, servers }: { isTls: boolean; servers: readonly string[] },
  refuse: (reason: string) => never,
): ServerTrust {
  if (behind === undefined) return isTls ? { kind: "authority" } : { kind: "token" };
  if (behind === "") refuse(`the fingerprint behind "#" is missing: ${COPY}, or leave "#" out`);
  if (behind === PLAIN) {
    if (isTls) refuse(`tls:// and "#${PLAIN}" contradict each other: ${COPY}`);
    const other = servers.find((server) => !isLoopback(hostOf(server)));
    if (other === undefined) return { kind: "plain" };
    refuse(`a server without TLS is joined on its own machine alone, and ${other} is another's`);
  }
  const fingerprint = parseFingerprint(behind);
  if (fingerprint !== undefined) return { kind: "fingerprint", fingerprint };
  return refuse(
    `behind "#" stands no fingerprint, which has 64 hexadecimal digits (here are ${behind.length} characters): ${COPY}`,
  );
}

/** Returns the host of a `host:port`. */
export function hostOf(server: string): string {
  return server.slice(0, server.lastIndexOf(":"));
}

/** Returns the port of a `host:port`. */
export function portOf(server: string): number {
  return Number(server.slice(server.lastIndexOf(":") + 1));
}

/** Returns the address for `--join`; {@linkcode parseJoin} reads it. */
export function joinAddress({ servers, trust }: JoinAddress): string {
  const address = `${trust.kind === "authority" ? "tls" : "nats"}://${servers.join(",")}`;
  if (trust.kind === "fingerprint") return `${address}#${trust.fingerprint}`;
  return trust.kind === "plain" ? `${address}#${PLAIN}` : address;
}

/**
 * Returns the line to paste on another host.
 *
 * @param ca Path of the authority's certificate, where other hosts may not know it
 */
export function joinLine(address: JoinAddress, tokenFile: string, ca?: string): string {
  const words = [
    "worker",
    "--join",
    shellWord(joinAddress(address)),
    "--token-file",
    shellWord(tokenFile),
  ];
  return task([...words, ...(ca === undefined ? [] : ["--ca", shellWord(ca)])].join(" "));
}

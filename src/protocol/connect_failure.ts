/**
 * Explains why a connection to a nats-server failed, as a sentence with its cure.
 *
 * @module
 */
import { LockstepError, messageOf } from "../base/errors.ts";
import { giving, naming, wasTyped } from "../base/invocation.ts";
import {
  NATS_CA_VARIABLE,
  NATS_CREDENTIALS_VARIABLE,
  NATS_URL_VARIABLE,
  type NatsAddress,
  parseAddress,
  type ParsedAddress,
} from "./address.ts";
import { describeCredentials } from "./credentials.ts";
import { FingerprintError } from "./fingerprint.ts";
import { ForeignServerError, type Handshake } from "./handshake.ts";

/** A server can't be used as it is: trying again is pointless. */
export class ServerRefusalError extends LockstepError {
  override name = "ServerRefusalError";
}

/** A server refuses the credentials. */
export class CredentialsError extends ServerRefusalError {
  override name = "CredentialsError";
}

/** Nobody answers at an address. */
export class UnreachableError extends LockstepError {
  override name = "LockstepError";

  /** @param reason The reason in a few words */
  constructor(message: string, readonly reason: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** The facts about a failed connection that its message depends on. */
interface Attempt extends ParsedAddress {
  readonly address: NatsAddress;
  readonly handshake: Handshake;
  readonly timeoutMs: number;
  readonly cause: unknown;
}

/** The smallest `max_control_line` with which all of Lockstep's lines find room. */
const MIN_CONTROL_LINE = 1024;
/** Connections of each process: its own, and that of its heartbeats. */
const CONNECTIONS_PER_PROCESS = 2;

/** Returns the sentence of a failed connection. */
export function connectFailure(
  address: NatsAddress,
  handshake: Handshake,
  timeoutMs: number,
  cause: unknown,
): LockstepError {
  const failure = handshake.failure;
  const attempt = {
    ...parseAddress(address),
    address,
    handshake,
    timeoutMs,
    cause: failure?.cause ?? cause,
  };
  if (attempt.cause instanceof ForeignServerError) return foreignServer(attempt);
  switch (failure?.stage) {
    case "info":
      return tlsMissing(attempt) ?? noAnswer(attempt);
    case "tls":
      return tlsFailure(attempt);
    case "answer":
      return refusal(attempt);
    default:
      return noAnswer(attempt);
  }
}

/** Returns how to do without the server that was named, in words that fit how it was named; nothing for an own server. */
export function leaveOut({ url, own: isOwn }: NatsAddress): string | undefined {
  if (isOwn) return undefined;
  const own = wasTyped("nats") ? "--nats" : namedByEnvironment(url) ?? "nats.url";
  return own === NATS_URL_VARIABLE
    ? `unset ${own} to let Lockstep start one`
    : `leave out ${own} to let Lockstep start one`;
}

function namedByEnvironment(url: string): string | undefined {
  try {
    const named = Deno.env.get(NATS_URL_VARIABLE);
    const isSame = named && parseAddress({ url: named }).server === parseAddress({ url }).server;
    return isSame ? NATS_URL_VARIABLE : undefined;
  } catch {
    return undefined; // the environment isn't ours to read
  }
}

function noAnswer(attempt: Attempt): LockstepError {
  const { server, address, cause } = attempt;
  const cures = ["check host and port, and that the server runs", leaveOut(address)];
  const reason = silence(attempt);
  return new UnreachableError(
    `No nats-server answers at ${server} (${reason}): ${cures.filter(Boolean).join(", or ")}`,
    reason,
    { cause },
  );
}

/** Explains why nobody answers. */
function silence({ server, handshake, timeoutMs, cause }: Attempt): string {
  const reason = messageOf(cause);
  const seconds = `${Number((timeoutMs / 1000).toFixed(1))} s`;
  if (cause instanceof Deno.errors.ConnectionRefused) {
    return "connection refused: nothing listens there";
  }
  if (/ENOTFOUND|ENODATA|EAI_NONAME|failed to lookup/i.test(reason)) {
    return `the name ${server.replace(/:\d+$/, "")} isn't known`;
  }
  if (/EAI_AGAIN|ETIMEOUT|ESERVFAIL/.test(reason)) return "the name server doesn't answer";
  if (/No route to host/i.test(reason)) {
    return "no route to that host: it is down, or in a network that this machine isn't in";
  }
  if (/Network is unreachable/i.test(reason)) {
    return "this machine isn't in that network";
  }
  if (/EPERM/.test(reason) || cause instanceof Deno.errors.NotCapable) {
    return `this program may not connect to it: allow it with --allow-net=${server}`;
  }
  if (/timeout/i.test(reason)) {
    return handshake.stage === "tcp"
      ? `no connection within ${seconds}: the host is down, or a firewall is between`
      : handshake.stage === "address"
      ? `the name isn't resolved within ${seconds}`
      : `no answer within ${seconds}`;
  }
  return reason.replace(/ \(os error \d+\)/, "") || "no reason given";
}

/** The two ways to name something: where this call can, and the environment variable. */
function inOneOf(by: string, own: string | undefined, variable: string): string {
  return `${own ? `${by} ${own} or ` : ""}in the environment variable ${variable}`;
}

function foreignServer({ server, cause, address }: Attempt): LockstepError {
  const clients = server.endsWith(":4222") ? "" : "; its clients' port is 4222 unless configured";
  const cures = [`check host and port (${naming("nats.url")})${clients}`, leaveOut(address)];
  return new ServerRefusalError(
    `What answers at ${server} is no nats-server for clients: ${messageOf(cause)}: ${
      cures.filter(Boolean).join(", or ")
    }`,
    { cause },
  );
}

/** TLS was asked for, and the server has none. */
function tlsMissing({ server, tls, address, cause }: Attempt): LockstepError | undefined {
  if (!/does not support 'tls'/.test(messageOf(cause))) return undefined;
  if (address.fingerprint !== undefined) {
    return new ServerRefusalError(
      `The nats-server at ${server} speaks no TLS, so it is not the one whose fingerprint was given: ${COPY_AGAIN}`,
      { cause },
    );
  }
  const cure = tls
    ? `write nats://${server}`
    : `leave out nats.ca (or the environment variable ${NATS_CA_VARIABLE})`;
  return new ServerRefusalError(
    `The nats-server at ${server} speaks no TLS: ${cure}, or give the server a tls block`,
    { cause },
  );
}

/** The remedy for a server that isn't the expected one. */
const COPY_AGAIN =
  "copy the line again that the coordinator printed when it started, and the token's file that it names";

/** The server shows another certificate than the expected one, or none, or a copy of it. */
function otherServer(server: string, error: unknown): LockstepError {
  const why = !(error instanceof FingerprintError)
    ? "shows that server's certificate, and has another"
    : error.shown === undefined
    ? "shows no certificate of Lockstep's"
    : `has a certificate with the fingerprint ${error.shown}, and not ${error.expected}`;
  return new ServerRefusalError(
    `The nats-server at ${server} is not the one whose fingerprint was given: it ${why}: ${COPY_AGAIN}; if that is ` +
      "the line, somebody else answers there",
    { cause: error },
  );
}

function tlsFailure({ server, address, cause }: Attempt): LockstepError {
  const reason = messageOf(cause);
  const isOther = cause instanceof FingerprintError ||
    (address.fingerprint !== undefined &&
      /UnknownIssuer|BadSignature|not valid for name/.test(reason));
  if (isOther) return otherServer(server, cause);
  const host = server.replace(/:\d+$/, "");
  const sentence = certificateTrouble(reason, { server, host, hasCa: address.ca !== undefined });
  return sentence === undefined
    ? new LockstepError(`TLS with the nats-server at ${server} fails: ${reason}`, { cause })
    : new ServerRefusalError(sentence, { cause });
}

/** Describes the trouble with a certificate; returns nothing if the certificate isn't the cause. */
function certificateTrouble(
  reason: string,
  { server, host, hasCa }: { server: string; host: string; hasCa: boolean },
): string | undefined {
  const whose = `The certificate of the nats-server at ${server}`;
  if (/UnknownIssuer|BadSignature/.test(reason)) {
    return hasCa
      ? `${whose} isn't signed by the authority that nats.ca names: name the certificate of the one that signed it`
      : `${whose} is signed by an authority that this machine doesn't know: name that authority's certificate, a PEM file, ` +
        inOneOf("by", giving("nats.ca", "FILE"), NATS_CA_VARIABLE);
  }
  if (/not valid for name|NotValidForName/.test(reason)) {
    const [, names] = /only valid for (.*)$/s.exec(reason) ?? [];
    const madeFor = names
      ? `: it is made out to ${names.replaceAll(/DnsName\("(.*?)"\)/g, "$1")}`
      : "";
    return `${whose} isn't made out to ${host}${madeFor}: name the server as its certificate does, or have one made out to ${host}`;
  }
  if (/certificate expired|\bExpired\b/.test(reason)) {
    const [, second] = /not valid after (\d+)/.exec(reason) ?? [];
    const day = second ? ` on ${new Date(1000 * Number(second)).toISOString().slice(0, 10)}` : "";
    return `${whose} expired${day}: renew it, or correct this machine's clock`;
  }
  if (/not valid yet|NotValidYet/.test(reason)) {
    return `${whose} isn't valid yet: correct this machine's clock, or the certificate`;
  }
  if (/CaUsedAsEndEntity/.test(reason)) {
    return `${whose} is that of an authority: give the server one of its own, which the authority signs, or a ` +
      "self-signed one with basicConstraints CA:FALSE";
  }
  if (/invalid peer certificate/.test(reason)) return `${whose} can't be used (${reason})`;
}

/** The server's words of refusal, once it was reached. */
function refusal(attempt: Attempt): LockstepError {
  const { server, cause } = attempt;
  const reason = messageOf(cause);
  const at = `The nats-server at ${server}`;
  const refuse = (sentence: string) => new ServerRefusalError(`${at} ${sentence}`, { cause });
  // A server that closes its socket with something unread resets it, and its last words may be lost.
  const isCut = /reset by peer|closed the connection/.test(reason);
  const wantsCredentials = attempt.handshake.info?.auth_required === true;
  if (/authorization|authentication|credentials/i.test(reason) || (isCut && wantsCredentials)) {
    return wrongCredentials(attempt);
  }
  if (/maximum (account active )?connections/i.test(reason)) {
    return refuse(
      `has as many clients as it may: raise max_connections; Lockstep needs ${CONNECTIONS_PER_PROCESS} connections ` +
        "for each worker and for itself",
    );
  }
  if (/maximum control line/i.test(reason)) {
    return refuse(
      `refuses lines as long as Lockstep's: set its max_control_line to at least ${MIN_CONTROL_LINE}`,
    );
  }
  if (/certificate ?(required|unknown)|bad ?certificate|HandshakeFailure/i.test(reason)) {
    return refuse(
      "wants a certificate of its client, and Lockstep has none to show: turn verify off in its tls block, and let " +
        "clients in by user and password",
    );
  }
  return new LockstepError(`${at} doesn't let Lockstep in (${reason})`, { cause });
}

function wrongCredentials({ server, credentials, address, cause }: Attempt) {
  const what = credentials
    ? `refuses the credentials, ${describeCredentials(credentials)}`
    : "wants credentials, and none were given";
  const how = address.own ? "" : ": put user:password@ or TOKEN@ before the host of the URL, " +
    inOneOf("by", naming("nats.url"), NATS_URL_VARIABLE) +
    ", or name a file with them (a password, a token, an nkey or a JWT) " +
    inOneOf("by", giving("nats.credentials", "FILE"), NATS_CREDENTIALS_VARIABLE) +
    "; a run's folder keeps no credentials, so resuming needs them again";
  return new CredentialsError(`The nats-server at ${server} ${what}${how}`, { cause });
}

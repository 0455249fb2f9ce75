/**
 * Records how far a connection's beginning got, so that the message names the real cause of a failure: the
 * client itself reports little more than "timeout".
 *
 * @module
 */
import { type ConnectionOptions, errors, type ServerInfo } from "../deps/nats_core.ts";
import { visible } from "../base/visible_text.ts";

/**
 * The stages that a connection waits for: the name's address, TCP, the server's `INFO`, TLS, its answer to
 * the credentials.
 */
const STAGES = ["address", "tcp", "info", "tls", "answer"] as const;
/** A stage that a connection waits for. */
export type Stage = (typeof STAGES)[number];

/** The reason why a connection failed before it was open. */
export interface EarlyFailure {
  readonly stage: Stage;
  readonly cause: Error;
}

/** The record of one connection; its transports fill it in. */
export class Handshake {
  stage: Stage = "address";
  /** The server's first message. */
  info: ServerInfo | undefined;
  /** The failure that came furthest: a name may have several addresses, and nobody listens at most of them. */
  failure: EarlyFailure | undefined;
  /** Set once the server has let the client in: from then on the client hears of everything itself. */
  isOver = false;

  /** Records a failure in the present stage. */
  failed(cause: Error): void {
    const { stage, failure } = this;
    if (this.isOver || (failure && STAGES.indexOf(failure.stage) > STAGES.indexOf(stage))) return;
    this.failure = { stage, cause };
  }

  /** Records a refusal, and returns the server's error line that ends the client's wait. */
  refused(reason: string): Uint8Array {
    this.failed(new errors.ConnectionError(reason));
    const text = reason.replaceAll(/[\r\n']/g, " ");
    return new TextEncoder().encode(`-ERR '${REFUSED}${text}'\r\n`);
  }
}

/** Options of a connection with its record, and with what is expected of the server's certificate. */
export interface RecordedOptions extends ConnectionOptions {
  readonly handshake?: Handshake;
  /** The name that the certificate is made out to, where it isn't that of the host. */
  readonly tlsName?: string;
  /** Fingerprint of the certificate that the server shows. */
  readonly fingerprint?: string;
}

/**
 * An error for a program that is no nats-server, or not one at this port; the message says what the program
 * is.
 */
export class ForeignServerError extends errors.ConnectionError {
  override name = "ForeignServerError";
}

/** The message for a program that sends no first message. */
export const SAYS_NOTHING = "a program accepts connections there and says nothing";
/** The message for a program that closes the connection when it receives a message. */
export const HANGS_UP =
  "a program waits there to be spoken to, and not as Lockstep does: of a nats-server with TLS, set handshake_first to auto";

/**
 * Makes the client treat any refusal as one of the credentials, the only kind that ends the client's wait.
 */
const REFUSED = "authorization violation: ";

/**
 * Returns the messages, with an error of the server's in the form that ends the client's wait: before the
 * server has let the client in, the client ignores all errors but refused credentials.
 */
export function untilLetIn(messages: Uint8Array, handshake: Handshake): Uint8Array {
  if (handshake.isOver) return messages;
  const text = new TextDecoder().decode(messages);
  if (/^PONG/m.test(text)) handshake.isOver = true;
  const [, reason] = /^-ERR '?(.*?)'?\r?$/m.exec(text) ?? [];
  return reason === undefined ? messages : handshake.refused(reason);
}

const TLS_ALERT = 0x15;
const TLS_HANDSHAKE = 0x16;
const MAX_SHOWN = 40;

/** Describes the program behind a first line or answer that isn't a nats-server's. */
export function describeForeign(bytes: Uint8Array): string {
  if (bytes[0] === TLS_ALERT || bytes[0] === TLS_HANDSHAKE) {
    return "it wants TLS from the first byte: set handshake_first of its tls block to auto";
  }
  const text = new TextDecoder().decode(bytes);
  if (/^HTTP\//.test(text)) {
    return "it is a web server, such as nats-server's own at its monitoring port";
  }
  const [line = ""] = text.split(/\r?\n/, 1);
  const shown = line.length > MAX_SHOWN ? `${line.slice(0, MAX_SHOWN)}…` : line;
  return `it says "${visible(shown)}"`;
}

/**
 * Parses the JSON of a server's first message, with the fields that the client and Lockstep take for granted.
 *
 * @throws {ForeignServerError} When it is not that of a nats-server
 */
export function parseInfo(json: string): ServerInfo {
  const info = JSON.parse(json) as ServerInfo; // an object: the reader has checked it
  const { version, max_payload: most } = info as { version?: unknown; max_payload?: unknown };
  const isServer = typeof version === "string" && /\d+\.\d+\.\d+/.test(version) &&
    (most === undefined || (Number.isSafeInteger(most) && (most as number) > 0));
  if (isServer) return info;
  throw new ForeignServerError(describeForeign(new TextEncoder().encode(`INFO ${json}`)));
}

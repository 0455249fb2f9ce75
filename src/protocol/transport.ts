/**
 * The NATS client's way to the server: a TCP or TLS connection of Deno's.
 *
 * The client's own transport uses Node's sockets, which deliver pieces of 64 KiB, each in new memory. The
 * client joins the pieces of a large message in memory that grows. For messages of a megabyte this costs more
 * than the rest of the exchange. Here a message arrives in one piece, in memory that is reused.
 *
 * @module
 */
import {
  checkOptions,
  type ConnectionOptions,
  deferred,
  errors,
  type Server,
  type ServerInfo,
  type Transport,
} from "../deps/nats_core.ts";
import { within } from "../base/async.ts";
import { given } from "../base/given.ts";
import { LOCKSTEP_VERSION } from "../base/versions.ts";
import { ProtocolError } from "./codec.ts";
import { OWN_CERTIFICATE_NAME, requireCertificate } from "./fingerprint.ts";
import {
  describeForeign,
  ForeignServerError,
  Handshake,
  HANGS_UP,
  parseInfo,
  type RecordedOptions,
  SAYS_NOTHING,
  untilLetIn,
} from "./handshake.ts";
import { ProtocolReader } from "./protocol_reader.ts";
import type { SendMemory } from "./send_memory.ts";

/** Share of the time for a connection in which the server must have sent its first message. */
const INFO_SHARE = 0.6;
const DEFAULT_TIMEOUT_MS = 5_000;
/** Milliseconds in which a silent program gets to answer something else than NATS. */
const PROBE_MS = 400;
const SPACE = 0x20;

/**
 * Opens a connection to an address of a host. A worker may connect to the addresses that the host had when the worker
 * was started, and to the host by its name, which leads to its present address.
 */
async function connectTo(
  { hostname, port, name }: { hostname: string; port: number; name: string },
): Promise<Deno.TcpConn> {
  try {
    return await Deno.connect({ hostname, port });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotCapable) || !name) throw error;
    return await Deno.connect({ hostname: name, port });
  }
}

/**
 * Returns the name that the server's certificate must be made out to, and the authority that must vouch for it.
 *
 * @throws {FingerprintError} When the server shows another certificate than the one that was asked for
 */
function expectedOf(
  { tls, tlsName, fingerprint }: RecordedOptions,
  { server_name: announced }: ServerInfo,
): { name?: string; ca?: string } {
  if (fingerprint === undefined) return { ...given("name", tlsName), ...given("ca", tls?.ca) };
  const ca = requireCertificate(announced, fingerprint);
  return { name: tlsName ?? OWN_CERTIFICATE_NAME, ca };
}

/** Frames as one. */
function joined(frames: readonly Uint8Array[]): Uint8Array[] {
  if (frames.length < 2) return [...frames];
  const whole = new Uint8Array(frames.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const frame of frames) {
    whole.set(frame, at);
    at += frame.length;
  }
  return [whole];
}

/** One connection to a server; the client makes a new transport whenever it connects. */
export class DenoTransport implements Transport {
  /** The server shows these two in its list of clients. */
  readonly lang = "lockstep";
  readonly version = LOCKSTEP_VERSION;
  closeError?: Error;
  #connection: Deno.TcpConn | Deno.TlsConn | undefined;
  #isConnected = false;
  #isEncrypted = false;
  #isClosed = false;
  readonly #closed = deferred<void | Error>();
  readonly #reader = new ProtocolReader();
  #handshake = new Handshake();
  readonly #outgoing: Uint8Array[] = [];
  #sending: Promise<void> | undefined;
  readonly #memory: SendMemory;

  /** @param memory The pool to which frames that were sent are returned, if they are from it */
  constructor(memory: SendMemory) {
    this.#memory = memory;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /**
   * Connects, and reads the server's first word, `INFO`; then turns to TLS where the server has it.
   *
   * @throws {Error} When nobody listens there, it is no nats-server, or TLS was asked for and there is none
   */
  async connect(server: Server, options: ConnectionOptions): Promise<void> {
    const { hostname, port, tlsName } = server;
    const { handshake = new Handshake(), timeout = DEFAULT_TIMEOUT_MS } =
      options as RecordedOptions;
    this.#handshake = handshake;
    try {
      handshake.stage = "tcp";
      const connection = await connectTo({ hostname, port, name: tlsName });
      this.#connection = connection;
      connection.setNoDelay(true);
      handshake.stage = "info";
      const info = handshake.info = await this.#readInfo(connection, INFO_SHARE * timeout);
      checkOptions(info, options);
      if (info.tls_required || (info.tls_available && options.tls !== null)) {
        handshake.stage = "tls";
        const { name = tlsName || hostname, ca } = expectedOf(options, info);
        const secured = await Deno.startTls(connection, {
          hostname: name,
          ...(ca ? { caCerts: [ca] } : {}),
        });
        this.#connection = secured;
        await secured.handshake();
        this.#isEncrypted = true;
      }
      handshake.stage = "answer";
      if (this.#isClosed) throw new errors.ConnectionError("given up");
      this.#isConnected = true;
    } catch (error) {
      if (!this.#isClosed) handshake.failed(error as Error);
      this.discard();
      throw error;
    }
  }

  /**
   * Yields the bytes that arrive, cut between messages. The memory of a large one is used again when the next
   * is asked for.
   */
  async *[Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array> {
    try {
      while (!this.#isClosed) {
        const messages = this.#reader.take();
        if (messages) {
          yield untilLetIn(messages, this.#handshake);
          continue;
        }
        const count = await this.#connection!.read(this.#reader.room());
        if (count === null) break;
        this.#reader.filled(count);
      }
      if (!this.#handshake.isOver && !this.#isClosed) {
        yield this.#handshake.refused("it closed the connection");
      }
    } catch (error) {
      if (!this.#handshake.isOver) yield this.#handshake.refused((error as Error).message);
      this.#end(error as Error);
    } finally {
      this.#end();
    }
  }

  isEncrypted(): boolean {
    return this.#isEncrypted;
  }

  /** Takes over the frame: it must stay as it is. */
  send(frame: Uint8Array): void {
    this.#outgoing.push(frame);
    this.#sending ??= this.#sendAll();
  }

  // deno-lint-ignore require-await -- the interface is asynchronous
  async close(error?: Error): Promise<void> {
    this.#end(error);
  }

  /** Closes once all that was given to {@linkcode send} has left. */
  disconnect(): void {
    void Promise.resolve(this.#sending).then(() => this.#end());
  }

  closed(): Promise<void | Error> {
    return this.#closed;
  }

  /** Closes without telling. */
  discard(): void {
    this.#isClosed = true;
    try {
      this.#connection?.close();
    } catch {
      // it was closed before
    }
  }

  /** Reads the first line; probes a program that sends nothing, to find out what it is. */
  async #readInfo(connection: Deno.TcpConn, silentMs: number): Promise<ServerInfo> {
    let isProbed = false;
    const probe = setTimeout(() => {
      isProbed = true;
      const question = new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n");
      connection.write(question).catch(() => {}); // the reading side tells
    }, silentMs);
    try {
      return await within(
        this.#readFirstLine(connection, () => isProbed),
        silentMs + PROBE_MS,
        () => new errors.ConnectionError(SAYS_NOTHING),
      );
    } finally {
      clearTimeout(probe);
    }
  }

  async #readFirstLine(connection: Deno.TcpConn, isProbed: () => boolean): Promise<ServerInfo> {
    for (;;) {
      const line = this.#reader.firstLine();
      const [, json] = /^INFO\s+(\{.*\})\s*$/i.exec(line ?? "") ?? [];
      if (json) return parseInfo(json); // the client's parser gets the line too
      const bytes = this.#reader.peek();
      const [first = SPACE] = bytes;
      if (line !== undefined || first < SPACE) {
        throw new ForeignServerError(describeForeign(bytes));
      }
      const count = await connection.read(this.#reader.room()).catch((error) => {
        throw isProbed() ? new errors.ConnectionError(HANGS_UP) : error;
      });
      if (count === null) {
        throw new errors.ConnectionError(isProbed() ? HANGS_UP : "it closed the connection");
      }
      try {
        this.#reader.filled(count);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        throw new ForeignServerError(describeForeign(this.#reader.peek()));
      }
    }
  }

  async #sendAll(): Promise<void> {
    try {
      // The greeting leaves as one: a server that refuses its first part resets what it hasn't read.
      if (!this.#handshake.isOver) {
        await Promise.resolve();
        this.#outgoing.splice(0, this.#outgoing.length, ...joined(this.#outgoing));
      }
      for (let frame = this.#outgoing.shift(); frame; frame = this.#outgoing.shift()) {
        for (let sent = 0; sent < frame.length;) {
          sent += await this.#connection!.write(frame.subarray(sent));
        }
        this.#memory.give(frame);
      }
    } catch {
      this.#outgoing.length = 0; // the reading side finds the connection broken too, and tells
    } finally {
      this.#sending = undefined;
    }
  }

  /**
   * Closes and reports the end, the first time; {@linkcode connect} alone reports a connection that failed to
   * open.
   *
   * The report comes in a later turn of the event loop. While the client still processes the server's answer to its
   * greeting, it would take the end for a part of the attempt that has succeeded, and never connect again.
   */
  #end(error?: Error): void {
    const isNews = this.#isConnected && !this.#isClosed;
    if (isNews && error) this.closeError = error;
    this.discard();
    if (isNews) setTimeout(() => this.#closed.resolve(error));
  }
}

/**
 * The NATS client's way to the server: a TCP or TLS connection of Deno's.
 *
 * The client's own transport goes through Node's sockets, which hand over pieces of 64 KiB in new memory each, and
 * the client puts a large message together of them in memory that grows. For messages of a megabyte that costs more
 * than all else that the exchange does. Here a message arrives in one piece, in memory that is used again and again.
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
import { LOCKSTEP_VERSION } from "../base/versions.ts";
import { ProtocolReader } from "./protocol_reader.ts";
import type { SendMemory } from "./send_memory.ts";

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
  readonly #outgoing: Uint8Array[] = [];
  #sending: Promise<void> | undefined;
  readonly #memory: SendMemory;

  /** @param memory Where frames that have left go back to, if they are of it */
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
    try {
      const connection = await Deno.connect({ hostname, port });
      this.#connection = connection;
      connection.setNoDelay(true);
      const info = await this.#readInfo(connection);
      checkOptions(info, options);
      if (info.tls_required || (info.tls_available && options.tls !== null)) {
        const secured = await Deno.startTls(connection, { hostname: tlsName || hostname });
        this.#connection = secured;
        await secured.handshake();
        this.#isEncrypted = true;
      }
      if (this.#isClosed) throw new errors.ConnectionError("given up");
      this.#isConnected = true;
    } catch (error) {
      this.discard();
      throw error instanceof Deno.errors.ConnectionRefused
        ? new errors.ConnectionError("connection refused", { cause: error })
        : error;
    }
  }

  /** What arrives, cut between messages. The memory of a large one is used again when the next is asked for. */
  async *[Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array> {
    try {
      while (!this.#isClosed) {
        const messages = this.#reader.take();
        if (messages) {
          yield messages;
          continue;
        }
        const count = await this.#connection!.read(this.#reader.room());
        if (count === null) break;
        this.#reader.filled(count);
      }
    } catch (error) {
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

  async #readInfo(connection: Deno.TcpConn): Promise<ServerInfo> {
    for (;;) {
      const line = this.#reader.firstLine();
      if (line !== undefined) {
        const [, json] = /^INFO\s+(\{.*\})\s*$/i.exec(line) ?? [];
        if (!json) throw new errors.ConnectionError("unexpected response from server");
        return JSON.parse(json); // the client's parser gets the line too
      }
      const count = await connection.read(this.#reader.room());
      if (count === null) throw new errors.ConnectionError("connection closed by the server");
      this.#reader.filled(count);
    }
  }

  async #sendAll(): Promise<void> {
    try {
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

  /** Closes and tells, the first time; what never was connected is told by {@linkcode connect} alone. */
  #end(error?: Error): void {
    const isNews = this.#isConnected && !this.#isClosed;
    if (isNews && error) this.closeError = error;
    this.discard();
    if (isNews) this.#closed.resolve(error);
  }
}

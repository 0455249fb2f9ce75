/**
 * One process's end of the protocol: publishes checked messages, and passes on only messages that carry the
 * run's token, this version and an intact payload.
 *
 * @module
 */
import type { NatsConnection, Subscription } from "../deps/nats.ts";
import { delay, within } from "../base/async.ts";
import { LockstepError, UsageError } from "../base/errors.ts";
import {
  checksum,
  DamagedHeaderError,
  decodeFrame,
  decodeOldHeader,
  encodeFrame,
  FRAME_HEADER_BYTES,
  ProtocolError,
  writeFrameHeader,
} from "./codec.ts";
import type { NatsAddress } from "./address.ts";
import { ServerRefusalError } from "./connect_failure.ts";
import { connectNats, type ConnectOptions } from "./connection.ts";
import {
  type Envelope,
  type Fields,
  type Header,
  isKind,
  type Kind,
  makeHeader,
  parseEnvelope,
  parseHeader,
  versionMismatch,
} from "./messages.ts";
import { type ServerFacts, serverFacts } from "./check_server.ts";
import { cutOff, payloadShrunk, serverTrouble } from "./server_trouble.ts";
import { type RunIdentity, Subjects } from "./subjects.ts";

/** A message that passed all checks. */
export interface Incoming<K extends Kind> {
  readonly header: Header<K>;
  /** View of the received bytes: copy what is to be kept. */
  readonly payload: Uint8Array;
}

/** The handler of each kind of message. */
export type Handlers<K extends Kind> = { readonly [P in K]: (message: Incoming<P>) => void };

/** Handlers of messages that are not passed on; unless set, such messages are only counted. */
export interface Rejections<K extends Kind> {
  /** The payload doesn't match its checksum. */
  readonly onCorrupt?: (header: Header<K>, error: ProtocolError) => void;
  /** Another version of the protocol or of Lockstep; only the envelope can be trusted. */
  readonly onOtherVersion?: (envelope: Envelope, reason: string, header: unknown) => void;
}

/** Messages that were refused, by reason. */
export interface RefusedCounts {
  /** Messages without the run's token: from a stranger. */
  token: number;
  /** Messages of another version. */
  version: number;
  /** No message of Lockstep, or of no kind that it has. */
  malformed: number;
  /** Payload and checksum disagree; or the header and its own, which makes the message as good as lost. */
  corrupt: number;
}

/** A connection to the server, speaking for one process of one run. */
export class Link {
  readonly connection: NatsConnection;
  readonly subjects: Subjects;
  /** The counts of messages that this process received and refused. */
  readonly refused: RefusedCounts = { token: 0, version: 0, malformed: 0, corrupt: 0 };
  /** This process's name in its messages: `coordinator`, `rank <n>` or `worker <instance>`. */
  from: string;
  readonly #token: string;
  readonly #reconnectListeners = new Set<() => void>();
  readonly #refusalListeners = new Set<(reason: keyof RefusedCounts) => void>();
  readonly #noticeListeners = new Set<(message: string) => void>();
  readonly #failed = new AbortController();
  readonly #named: NatsAddress | undefined;
  /** Bytes of the largest message, as the server said when the link was opened. */
  readonly #maxPayload: number;
  #cuts: number[] = [];
  #serverGone = false;

  constructor(
    connection: NatsConnection,
    run: RunIdentity,
    from: string,
    address?: NatsAddress,
  ) {
    this.connection = connection;
    this.#named = address;
    this.#maxPayload = connection.info?.max_payload ?? DEFAULT_MAX_PAYLOAD;
    this.subjects = new Subjects(run.runId);
    this.from = from;
    this.#token = run.token;
    void this.#watchConnection();
  }

  /**
   * Connects to the server and sends messages in the name of `from`.
   *
   * @throws {LockstepError} See {@linkcode connectNats}
   */
  static async open(
    address: NatsAddress,
    run: RunIdentity,
    from: string,
    options: Omit<ConnectOptions, "name"> = {},
  ): Promise<Link> {
    const name = `lockstep ${run.runId} ${from}`;
    return new Link(await connectNats(address, { name, ...options }), run, from, address);
  }

  /**
   * Connects like {@linkcode Link.open}, and retries for a while: a server may be restarting at this moment.
   *
   * @param timeoutMs Milliseconds in which another attempt may begin
   * @throws {LockstepError} When the server still doesn't answer then, or refuses the credentials
   * @throws The signal's reason when it fires
   */
  static async openPatiently(
    address: NatsAddress,
    run: RunIdentity,
    from: string,
    { timeoutMs = TIMEOUT_MS, signal }: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<Link> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      signal?.throwIfAborted();
      try {
        return await Link.open(address, run, from);
      } catch (error) {
        const isFinal = error instanceof ServerRefusalError || error instanceof UsageError;
        if (isFinal || performance.now() > deadline) throw error;
        await delay(RETRY_MS);
      }
    }
  }

  /** Bytes that fit into one message beside its header. */
  get maxPayloadBytes(): number {
    return this.#maxPayload - FRAME_HEADER_BYTES;
  }

  /**
   * Fires with a {@linkcode LockstepError} when the server refuses something that a run needs (a subject, a
   * message, the credentials), or when the server doesn't keep the connection.
   */
  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  get #address(): NatsAddress {
    return this.#named ?? { url: this.server };
  }

  /** The facts that the server states about itself. */
  get facts(): ServerFacts {
    return serverFacts(this.connection, this.#address);
  }

  /**
   * True if the connection is lost at the moment; the connection comes back by itself when the server does.
   */
  get serverGone(): boolean {
    return this.#serverGone || this.connection.isClosed();
  }

  /** The server's host and port. */
  get server(): string {
    return this.connection.getServer();
  }

  /** Publishes one message. The payload may be changed once this returns. */
  publish<K extends Kind>(
    subject: string,
    kind: K,
    fields: Fields<K>,
    payload?: Uint8Array,
  ): void {
    const crc = payload ? checksum(payload) : 0;
    this.publishFrame(subject, encodeFrame(this.#header(kind, fields, crc), payload));
  }

  /**
   * Publishes one message whose payload is in `frame`, behind `FRAME_HEADER_BYTES` for the header, without
   * another copy. The frame must stay as it is until the message has been answered.
   */
  publishInPlace<K extends Kind>(
    subject: string,
    kind: K,
    fields: Fields<K>,
    frame: Uint8Array,
  ): void {
    const crc = checksum(frame.subarray(FRAME_HEADER_BYTES));
    writeFrameHeader(frame, this.#header(kind, fields, crc));
    this.publishFrame(subject, frame);
  }

  /** Publishes an encoded frame; on a closed connection it is dropped, as on a broken wire. */
  publishFrame(subject: string, frame: Uint8Array): void {
    if (this.connection.isClosed()) return;
    const most = this.connection.info?.max_payload ?? this.#maxPayload;
    if (frame.length <= most) this.connection.publish(subject, frame);
    else this.#fail(payloadShrunk(this.server, this.#maxPayload, most));
  }

  /**
   * Hands each good message on a subject to its kind's handler; other kinds are ignored. Handlers must not
   * throw. Call {@linkcode flush} before another process may publish. One subscription per subject and
   * process: the server sends a copy to each.
   */
  subscribe<K extends Kind>(
    subject: string,
    handlers: Handlers<K>,
    rejections: Rejections<K> = {},
  ): Subscription {
    return this.connection.subscribe(subject, {
      callback: (error, message) => {
        if (error) return; // the subscription ended; whoever waits has a timeout and a signal
        this.#receive(message.subject, message.data, handlers, rejections);
      },
    });
  }

  /** Calls `listener` each time a lost connection is back: messages that were under way may be lost. */
  onReconnect(listener: () => void): { unsubscribe(): void } {
    this.#reconnectListeners.add(listener);
    return { unsubscribe: () => void this.#reconnectListeners.delete(listener) };
  }

  /** Calls `listener` with the reason of each message that isn't accepted, after it was counted. */
  onRefused(listener: (reason: keyof RefusedCounts) => void): void {
    this.#refusalListeners.add(listener);
  }

  /** Calls `listener` with the server's announcements, such as its shutdown. */
  onNotice(listener: (message: string) => void): void {
    this.#noticeListeners.add(listener);
  }

  /**
   * Waits until the server has seen everything published and subscribed so far.
   *
   * @throws {LockstepError} When the connection is gone, the server refused something of it, or it doesn't answer for
   *   15 s
   */
  async flush(): Promise<void> {
    try {
      await this.#roundTrip(FLUSH_MS);
      await delay(0); // lets the client report what the server said before
      this.failed.throwIfAborted();
    } catch (error) {
      this.failed.throwIfAborted();
      throw new LockstepError(`The connection to the nats-server at ${this.server} is gone`, {
        cause: error,
      });
    }
  }

  /** Tells whether the server answers within `ms` milliseconds. */
  async answers(ms: number): Promise<boolean> {
    try {
      await this.#roundTrip(ms);
      return true;
    } catch {
      return false;
    }
  }

  /** Closes the connection; messages that were published before are still sent. */
  async close(): Promise<void> {
    if (this.connection.isClosed()) return;
    // A flush on a connection that looks for its server would wait for that.
    await this.#roundTrip(FLUSH_ON_CLOSE_MS).catch(() => {});
    await this.connection.close();
  }

  /** Waits until the server has answered, and with that seen everything sent before. */
  async #roundTrip(ms: number): Promise<void> {
    await within(this.connection.flush(), ms, () => new Error("no answer"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #watchConnection(): Promise<void> {
    for await (const status of this.connection.status()) {
      switch (status.type) {
        case "disconnect":
          this.#serverGone = true;
          break;
        case "reconnect":
          this.#onReconnect();
          break;
        case "error":
          this.#fail(serverTrouble(status.error, this.#address));
          break;
        case "ldm":
          this.#notice(
            `The nats-server at ${this.server} is about to stop (lame duck mode): the run looks for it again when it is gone`,
          );
      }
    }
  }

  #onReconnect(): void {
    this.#serverGone = false;
    const now = performance.now();
    this.#cuts = [...this.#cuts.filter((time) => now - time < CUTS_MS), now];
    if (this.#cuts.length >= MAX_CUTS) {
      const seconds = Math.ceil((now - Math.min(...this.#cuts)) / 1000);
      return this.#fail(cutOff(this.server, this.#cuts.length, seconds));
    }
    this.#reconnectListeners.forEach((listener) => listener());
  }

  #fail(error: LockstepError | undefined): void {
    if (error && !this.failed.aborted) this.#failed.abort(error);
  }

  #refuse(reason: keyof RefusedCounts): void {
    this.refused[reason]++;
    this.#refusalListeners.forEach((listener) => listener(reason));
  }

  #notice(message: string): void {
    this.#noticeListeners.forEach((listener) => listener(message));
  }

  #header<K extends Kind>(kind: K, fields: Fields<K>, crc: number): Header<K> {
    return makeHeader({ token: this.#token, from: this.from }, kind, fields, crc);
  }

  #receive<K extends Kind>(
    subject: string,
    data: Uint8Array,
    handlers: Handlers<K>,
    rejections: Rejections<K>,
  ): void {
    const frame = this.#decode(data, rejections);
    if (!frame) return;
    const envelope = parseEnvelope(frame.header);
    if (!envelope) return this.#refuse("malformed");
    if (envelope.token !== this.#token) return this.#refuse("token");
    const mismatch = versionMismatch(envelope);
    if (mismatch !== undefined) {
      this.#refuse("version");
      return rejections.onOtherVersion?.(envelope, mismatch, frame.header);
    }
    const kind = envelope.kind as K; // a key of `handlers`, or there is no handler
    const handler = Object.hasOwn(handlers, kind) ? handlers[kind] : undefined;
    if (!handler) return isKind(envelope.kind) ? undefined : this.#refuse("malformed");
    const header = parseHeader(kind, frame.header);
    if (typeof header === "string") return this.#refuse("malformed");
    if (checksum(frame.payload) === header.crc) return handler({ header, payload: frame.payload });
    this.#refuse("corrupt");
    const error = new ProtocolError(
      `A message of ${header.from} on ${subject} arrived damaged: its checksum doesn't fit`,
    );
    rejections.onCorrupt?.(header, error);
  }

  /** A frame's parts, or nothing when its header can't be trusted: then it is counted, and as good as lost. */
  #decode<K extends Kind>(
    data: Uint8Array,
    rejections: Rejections<K>,
  ): ReturnType<typeof decodeFrame> | undefined {
    try {
      return decodeFrame(data);
    } catch (error) {
      const header = decodeOldHeader(data);
      const envelope = parseEnvelope(header);
      if (envelope?.token === this.#token) {
        this.#refuse("version");
        rejections.onOtherVersion?.(envelope, versionMismatch(envelope)!, header);
      } else if (envelope) this.#refuse("token");
      else this.#refuse(error instanceof DamagedHeaderError ? "corrupt" : "malformed");
    }
  }
}

/** A server that breaks off a connection this often within this many milliseconds doesn't keep it. */
const MAX_CUTS = 5;
const CUTS_MS = 60_000;
const DEFAULT_MAX_PAYLOAD = 1024 * 1024;
const FLUSH_MS = 15_000;
/** A connection that is lost is looked for as long. */
const TIMEOUT_MS = 30_000;
const RETRY_MS = 250;
const FLUSH_ON_CLOSE_MS = 500;

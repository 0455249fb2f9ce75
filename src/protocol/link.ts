/**
 * One process's end of the protocol: publishes authenticated messages, and passes on only messages that are authentic, of
 * this version, and intact, each of them once.
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
  encodeFrame,
  ForgedFrameError,
  FRAME_HEADER_BYTES,
  isOldFrame,
  ProtocolError,
  type Sign,
  writeFrameHeader,
} from "./codec.ts";
import type { NatsAddress } from "./address.ts";
import { makeLinkName, MessageKey } from "./authentication.ts";
import { ServerRefusalError } from "./connect_failure.ts";
import { connectNats } from "./connection.ts";
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
import { SeenMessages } from "./replay_window.ts";
import { DEFAULT_RECONNECT_TIMEOUT, ServerGoneError } from "./server_loss.ts";
import { cutOff, payloadShrunk, serverTrouble } from "./server_trouble.ts";
import { SilenceTimer } from "./silence_timer.ts";
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
  /** Messages that aren't signed with the run's key: from a stranger. */
  unsigned: number;
  /** Authentic messages that came before: somebody recorded them, and sent them again. */
  replayed: number;
  /** Messages of another version. */
  version: number;
  /** No message of Lockstep, or of no kind that it has. */
  malformed: number;
  /** Payload and checksum disagree; or the header and its own, which makes the message as good as lost. */
  corrupt: number;
}

/** Options of a link. */
export interface LinkOptions {
  /** Milliseconds for which a lost server is waited for before the link fails (30000 unless given). */
  readonly reconnectMs?: number | undefined;
  /** Makes the link fail with its reason when it fires. */
  readonly signal?: AbortSignal | undefined;
}

/** A connection to the server, speaking for one process of one run. */
export class Link {
  readonly connection: NatsConnection;
  #subjects: Subjects;
  /** The counts of messages that this process received and refused. */
  readonly refused: RefusedCounts = {
    unsigned: 0,
    replayed: 0,
    version: 0,
    malformed: 0,
    corrupt: 0,
  };
  /** The run whose messages these are. */
  readonly run: RunIdentity;
  /** This process's name in its messages: `coordinator`, `rank <n>` or `worker <instance>`. */
  from: string;
  readonly #key: MessageKey;
  /**
   * True where payloads are authenticated. On a server that Lockstep started, which lets in this run's processes alone,
   * a checksum is enough, until the connection is lost, or another process says that its own was: then somebody else on
   * the machine may have taken the port.
   */
  #signsPayloads: boolean;
  readonly #name = makeLinkName();
  #number = 0;
  readonly #seen = new SeenMessages();
  readonly #reconnectListeners = new Set<(goneMs: number) => void>();
  readonly #lossListeners = new Set<() => void>();
  readonly #refusalListeners = new Set<(reason: keyof RefusedCounts) => void>();
  readonly #noticeListeners = new Set<(message: string) => void>();
  readonly #failed = new AbortController();
  readonly #named: NatsAddress | undefined;
  /** Bytes of the largest message, as the server said when the link was opened. */
  readonly #maxPayload: number;
  #cuts: number[] = [];
  readonly #reconnectMs: number;
  /** Measures the time for which the server has been gone; absent while it is there. */
  #outage: SilenceTimer | undefined;
  /** Names the server's process. */
  #serverId: string | undefined;

  constructor(
    connection: NatsConnection,
    run: RunIdentity,
    from: string,
    address?: NatsAddress,
    { reconnectMs = 1000 * DEFAULT_RECONNECT_TIMEOUT, signal }: LinkOptions = {},
  ) {
    this.connection = connection;
    this.#reconnectMs = reconnectMs;
    this.#serverId = connection.info?.server_id;
    signal?.addEventListener("abort", () => this.#fail(signal.reason), { once: true });
    if (signal?.aborted) this.#fail(signal.reason);
    this.#named = address;
    this.#maxPayload = connection.info?.max_payload ?? DEFAULT_MAX_PAYLOAD;
    this.#subjects = new Subjects(run.runId, { prefix: address?.prefix });
    this.from = from;
    this.run = run;
    this.#key = new MessageKey(run.key);
    this.#signsPayloads = address?.own !== true;
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
    options: LinkOptions = {},
  ): Promise<Link> {
    const name = `lockstep ${run.runId} ${from}`;
    return new Link(await connectNats(address, { name }), run, from, address, options);
  }

  /**
   * Connects like {@linkcode Link.open}, and retries for a while: a server may be restarting at this moment.
   *
   * @throws {LockstepError} When the server still doesn't answer after `reconnectMs`, or refuses the credentials
   * @throws The signal's reason when it fires
   */
  static async openPatiently(
    address: NatsAddress,
    run: RunIdentity,
    from: string,
    options: LinkOptions = {},
  ): Promise<Link> {
    const { reconnectMs = 1000 * DEFAULT_RECONNECT_TIMEOUT, signal } = options;
    const deadline = performance.now() + reconnectMs;
    for (;;) {
      signal?.throwIfAborted();
      try {
        return await Link.open(address, run, from, options);
      } catch (error) {
        const isFinal = error instanceof ServerRefusalError || error instanceof UsageError;
        if (isFinal || performance.now() > deadline) throw error;
        await delay(RETRY_MS);
      }
    }
  }

  /** The subjects of the run, in the present generation of its ranks. */
  get subjects(): Subjects {
    return this.#subjects;
  }

  /** Uses the exchange's subjects of another generation from now on; ends of the exchange must be opened anew. */
  enterGeneration(generation: number): void {
    this.#subjects = this.#subjects.ofGeneration(generation);
  }

  /** Bytes that fit into one message beside its header. */
  get maxPayloadBytes(): number {
    return this.#maxPayload - FRAME_HEADER_BYTES;
  }

  /**
   * Fires with a {@linkcode LockstepError} when the server refuses something that a run needs (a subject, a
   * message, the credentials), when the server doesn't keep the connection, or is gone for too long.
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
    return this.#outage !== undefined || this.connection.isClosed();
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
    const header = this.#header(kind, fields, payload);
    this.publishFrame(subject, encodeFrame(header, payload, this.#signFor(subject)));
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
    const header = this.#header(kind, fields, frame.subarray(FRAME_HEADER_BYTES));
    writeFrameHeader(frame, header, this.#signFor(subject));
    this.publishFrame(subject, frame);
  }

  /**
   * Publishes an encoded frame. Without a server it is dropped, as on a broken wire: whoever needs it asks again, and
   * nothing piles up.
   */
  publishFrame(subject: string, frame: Uint8Array): void {
    if (this.serverGone) return;
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

  /** Calls `listener` each time the connection is lost. */
  onLoss(listener: () => void): void {
    this.#lossListeners.add(listener);
  }

  /**
   * Calls `listener` each time a lost connection is back, with the milliseconds for which it was lost: messages that
   * were under way may be lost.
   */
  onReconnect(listener: (goneMs: number) => void): { unsubscribe(): void } {
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
   * Waits until the server has seen everything published and subscribed so far. A server that is lost meanwhile is
   * waited for; then all subscriptions are made again, and messages may be lost.
   *
   * @throws {LockstepError} When the connection is closed, the link has failed, or the server doesn't answer for as long
   *   as it is waited for
   */
  async flush(): Promise<void> {
    const deadline = performance.now() + Math.max(this.#reconnectMs, FLUSH_MS);
    for (;;) {
      while (this.#outage && !this.connection.isClosed()) {
        this.failed.throwIfAborted();
        await delay(LOOK_MS);
      }
      try {
        await this.#roundTrip(FLUSH_MS);
        await delay(0); // lets the client report what the server said before
        return this.failed.throwIfAborted();
      } catch (error) {
        this.failed.throwIfAborted();
        if (this.connection.isClosed() || performance.now() > deadline) {
          throw new LockstepError(`The connection to the nats-server at ${this.server} is gone`, {
            cause: error,
          });
        }
        await delay(LOOK_MS); // lets the client report the loss
      }
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
    this.#outage?.stop();
    if (this.connection.isClosed()) return;
    // A flush on a connection that looks for its server would wait for that.
    if (!this.#outage) await this.#roundTrip(FLUSH_ON_CLOSE_MS).catch(() => {});
    await this.connection.close();
    this.#outage?.stop();
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
          this.#onDisconnect();
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

  #onDisconnect(): void {
    this.#signsPayloads = true;
    if (this.#outage) return; // an attempt to reconnect was broken off
    this.#outage = new SilenceTimer((goneMs) => {
      if (goneMs < this.#reconnectMs) return;
      this.#outage?.stop();
      this.#fail(new ServerGoneError(this.server, "has been gone", goneMs / 1000));
    });
    this.#lossListeners.forEach((listener) => listener());
  }

  #onReconnect(): void {
    const goneMs = this.#outage?.silentMs ?? 0;
    this.#outage?.stop();
    this.#outage = undefined;
    const serverId = this.connection.info?.server_id;
    if (serverId === this.#serverId) this.#countCut();
    this.#serverId = serverId;
    if (!this.failed.aborted) this.#reconnectListeners.forEach((listener) => listener(goneMs));
  }

  /** Counts a connection that a server has broken off though it went on running. */
  #countCut(): void {
    const now = performance.now();
    this.#cuts = [...this.#cuts.filter((time) => now - time < CUTS_MS), now];
    if (this.#cuts.length >= MAX_CUTS) {
      const seconds = Math.ceil((now - Math.min(...this.#cuts)) / 1000);
      this.#fail(cutOff(this.server, this.#cuts.length, seconds));
    }
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

  #header<K extends Kind>(kind: K, fields: Fields<K>, payload?: Uint8Array): Header<K> {
    const sender = { from: this.from, link: this.#name, number: ++this.#number };
    const crc = payload ? checksum(payload) : 0;
    const tag = this.#signsPayloads
      ? this.#key.signPayload(sender, payload ?? new Uint8Array())
      : null;
    return makeHeader(sender, kind, fields, { crc, tag });
  }

  #signFor(subject: string): Sign {
    return (bytes) => this.#key.sign(subject, bytes);
  }

  #receive<K extends Kind>(
    subject: string,
    data: Uint8Array,
    handlers: Handlers<K>,
    rejections: Rejections<K>,
  ): void {
    const frame = this.#decode(subject, data);
    if (!frame) return;
    const envelope = parseEnvelope(frame.header);
    if (!envelope) return this.#refuse("malformed");
    if (this.#seen.has(envelope)) return this.#refuse("replayed");
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
    if (this.#isIntact(header, frame.payload)) {
      this.#seen.add(header);
      return handler({ header, payload: frame.payload });
    }
    this.#refuse("corrupt");
    const error = new ProtocolError(
      `A message of ${header.from} on ${subject} arrived damaged: its checksum doesn't fit`,
    );
    rejections.onCorrupt?.(header, error);
  }

  #isIntact(header: Envelope, payload: Uint8Array): boolean {
    if (checksum(payload) !== header.crc) return false;
    if (header.tag === null) return this.#named?.own === true;
    this.#signsPayloads = true;
    return this.#key.verifyPayload(header, payload, header.tag);
  }

  /** A frame's parts, or nothing when its header can't be trusted: then it is counted, and as good as lost. */
  #decode(subject: string, data: Uint8Array): ReturnType<typeof decodeFrame> | undefined {
    try {
      return decodeFrame(data, (bytes, tag) => this.#key.verify(subject, bytes, tag));
    } catch (error) {
      if (isOldFrame(data)) this.#refuse("version");
      else if (error instanceof ForgedFrameError) this.#refuse("unsigned");
      else this.#refuse(error instanceof DamagedHeaderError ? "corrupt" : "malformed");
    }
  }
}

/** A server that breaks off a connection this often within this many milliseconds doesn't keep it. */
const MAX_CUTS = 5;
const CUTS_MS = 60_000;
const DEFAULT_MAX_PAYLOAD = 1024 * 1024;
const FLUSH_MS = 15_000;
const RETRY_MS = 250;
/** Milliseconds between two looks at a connection that is lost. */
const LOOK_MS = 25;
const FLUSH_ON_CLOSE_MS = 500;

/**
 * A conversation between the coordinator and the agent of another host: bodies arrive once and in their order, also where
 * messages are lost, repeated or late, or the connection is gone for a while.
 *
 * Each end numbers its bodies, keeps them until the other end has acknowledged them, and sends them again. An end that has
 * nothing to say sends a bare acknowledgement each second, so that silence means that the other end, or the way to it, is
 * gone.
 *
 * @module
 */
import type { Subscription } from "../deps/nats.ts";
import type { Json } from "./large_json.ts";
import type { Link } from "./link.ts";
import type { Fields } from "./messages.ts";
import { SilenceTimer } from "./silence_timer.ts";

/** The parts of a conversation. */
export interface HostChannelOptions {
  readonly link: Link;
  /** Subjects of this end and of the other one. */
  readonly speaking: string;
  readonly listening: string;
  /** Names the conversation: those of an agent that was here before are ignored. */
  readonly session: string;
  /** Called with each body, in order; must not throw. */
  readonly onBody: (body: Json) => void;
  /** Called from time to time with the milliseconds for which the other end has been silent. */
  readonly onSilence?: (silentMs: number) => void;
}

const BEAT_MS = 1_000;
/** Milliseconds after which a body that wasn't acknowledged is sent again. */
const REPEAT_MS = 500;
/** Milliseconds for which an acknowledgement may wait for a body to go with. */
const ACKNOWLEDGE_MS = 20;
/** Bodies that are sent again at a time. */
const MAX_REPEATED = 64;
/** Bodies that are kept until those before them have come. */
const MAX_AHEAD = 1024;

/** One end of a conversation. */
export class HostChannel {
  readonly #options: HostChannelOptions;
  readonly #subscription: Subscription;
  readonly #silence: SilenceTimer;
  readonly #beat: ReturnType<typeof setInterval>;
  readonly #reconnects: { unsubscribe(): void };
  /** Bodies that weren't acknowledged, from the oldest on. */
  #waiting: { readonly number: number; readonly body: Json; sentAt: number }[] = [];
  #sent = 0;
  #received = 0;
  /** Bodies that came before others, by their numbers. */
  readonly #early = new Map<number, Json>();
  #acknowledging: ReturnType<typeof setTimeout> | undefined;
  #lastSentAt = performance.now();
  #emptied = Promise.withResolvers<void>();

  constructor(options: HostChannelOptions) {
    this.#options = options;
    const { link, listening } = options;
    this.#subscription = link.subscribe(listening, {
      hostPacket: ({ header }) => this.#onPacket(header),
    });
    this.#silence = new SilenceTimer((silentMs) => {
      // Nothing can arrive then; the link fails when the server is gone for too long.
      if (link.serverGone) this.#silence.excuse();
      else options.onSilence?.(silentMs);
    });
    this.#beat = setInterval(() => this.#onBeat(), REPEAT_MS / 2);
    this.#reconnects = link.onReconnect(() => this.#repeat(0));
    this.#emptied.resolve();
  }

  /** Sends a body, which must not change any more. */
  send(body: Json): void {
    if (this.#waiting.length === 0) this.#emptied = Promise.withResolvers();
    const packet = { number: ++this.#sent, body, sentAt: performance.now() };
    this.#waiting.push(packet);
    this.#publish(packet.number, body);
  }

  /** Resolves when the other end has all bodies. */
  get empty(): Promise<void> {
    return this.#emptied.promise;
  }

  /** Milliseconds since anything came from the other end. */
  get silentMs(): number {
    return this.#silence.silentMs;
  }

  close(): void {
    clearInterval(this.#beat);
    clearTimeout(this.#acknowledging);
    this.#silence.stop();
    this.#reconnects.unsubscribe();
    this.#subscription.unsubscribe();
    this.#emptied.resolve();
  }

  #onPacket({ session, packet: number, acknowledged, body }: Fields<"hostPacket">): void {
    if (session !== this.#options.session) return;
    this.#silence.heard();
    this.#waiting = this.#waiting.filter((waiting) => waiting.number > acknowledged);
    if (this.#waiting.length === 0) this.#emptied.resolve();
    if (number === 0) return;
    // Of an earlier one the acknowledgement was lost; one that is far ahead comes again.
    if (number > this.#received && number <= this.#received + MAX_AHEAD) {
      this.#early.set(number, body);
    }
    while (this.#early.has(this.#received + 1)) {
      const next = ++this.#received;
      const due = this.#early.get(next) as Json;
      this.#early.delete(next);
      this.#options.onBody(due);
    }
    this.#acknowledging ??= setTimeout(() => {
      this.#acknowledging = undefined;
      this.#publish(0, null);
    }, ACKNOWLEDGE_MS);
  }

  #onBeat(): void {
    this.#repeat(REPEAT_MS);
    if (performance.now() - this.#lastSentAt >= BEAT_MS) this.#publish(0, null);
  }

  /** Sends again what was sent before some time. */
  #repeat(olderThanMs: number): void {
    const now = performance.now();
    const [oldest] = this.#waiting;
    if (!oldest || now - oldest.sentAt < olderThanMs) return;
    for (const packet of this.#waiting.slice(0, MAX_REPEATED)) {
      packet.sentAt = now;
      this.#publish(packet.number, packet.body);
    }
  }

  #publish(number: number, body: Json): void {
    const { link, speaking, session } = this.#options;
    this.#lastSentAt = performance.now();
    clearTimeout(this.#acknowledging);
    this.#acknowledging = undefined;
    link.publish(speaking, "hostPacket", {
      ...{ session, packet: number, acknowledged: this.#received, body },
    });
  }
}

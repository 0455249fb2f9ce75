/**
 * Links whose messages come late, twice, damaged, in another order, or not at all, as a drawn schedule says.
 *
 * @module
 */
import type { ExchangeLink } from "../../src/exchange/rank_end.ts";
import { FRAME_HEADER_BYTES, ProtocolError } from "../../src/protocol/codec.ts";
import type { Handlers, Incoming, Rejections } from "../../src/protocol/link.ts";
import type { Fields, Header, Kind } from "../../src/protocol/messages.ts";
import { Subjects } from "../../src/protocol/subjects.ts";

/**
 * The fate of a message. `foreign` delivers it behind one of a chunk that there isn't, `other length` behind one with
 * another payload: programs of another mind send such.
 */
export type Fate = "deliver" | "repeat" | "damage" | "lose" | "foreign" | "other length";

/** A drawn step: the message that comes next, counted modulo those that are under way, and its fate. */
export interface Turn {
  readonly pick: number;
  readonly fate: Fate;
  /** The other payload's length. */
  readonly length: number;
}

interface Message {
  readonly subject: string;
  readonly kind: Kind;
  readonly fields: Record<string, unknown>;
  readonly payload: Uint8Array;
}

interface Listener {
  readonly subject: RegExp;
  readonly handlers: Record<string, ((message: Incoming<Kind>) => void) | undefined>;
  readonly rejections: Rejections<Kind>;
}

/** The middle of all links of one case. */
export class ChaoticBus {
  readonly #subjects = new Subjects("fuzzed");
  readonly #listeners = new Set<Listener>();
  readonly #reconnected = new Set<(goneMs: number) => void>();
  readonly #old: Message[] = [];
  readonly #waiting: Message[] = [];

  /** @param maxPayloadBytes The most bytes of a message's payload */
  constructor(readonly maxPayloadBytes: number) {}

  /** Opens a link. */
  link(): ExchangeLink {
    return {
      serverGone: false,
      subjects: this.#subjects,
      maxPayloadBytes: this.maxPayloadBytes,
      publish: (subject, kind, fields, payload = new Uint8Array(0)) =>
        this.#send(subject, kind, fields, payload),
      publishInPlace: (subject, kind, fields, frame) =>
        this.#send(subject, kind, fields, frame.subarray(FRAME_HEADER_BYTES)),
      subscribe: (subject, handlers, rejections) => this.#listen(subject, handlers, rejections),
      onReconnect: (listener) => {
        this.#reconnected.add(listener);
        return { unsubscribe: () => void this.#reconnected.delete(listener) };
      },
      flush: () => Promise.resolve(),
    };
  }

  /**
   * Delivers messages by the schedule, and then all others, until `done` settles. A connection that has nothing under
   * way comes back, so that the ends ask again.
   */
  async run(done: Promise<unknown>, schedule: readonly Turn[]): Promise<void> {
    let isDone = false;
    done.then(() => isDone = true, () => isDone = true);
    const turns = schedule.values();
    for (let deliveries = 0; !isDone; deliveries++) {
      if (deliveries > MAX_DELIVERIES) throw new Error("The ends talk without an end");
      if (this.#waiting.length === 0) {
        for (let pause = 0; pause < 3 && !isDone; pause++) await settled();
        if (!isDone && this.#waiting.length === 0) {
          this.#reconnected.forEach((listener) => listener(0));
        }
        continue;
      }
      const turn = turns.next().value;
      const [message] = this.#waiting.splice(turn ? turn.pick % this.#waiting.length : 0, 1);
      if (turn) this.#takeTurn(message!, turn);
      else this.#deliver(message!);
      await Promise.resolve();
    }
    await done;
  }

  #takeTurn(message: Message, { fate, pick, length }: Turn): void {
    const { fields, payload } = message;
    if (fate === "lose") return;
    if (fate === "damage") return this.#damage(message);
    if (fate === "foreign" && "chunk" in fields) {
      this.#deliver({ ...message, fields: { ...fields, chunk: 1_000 + pick } });
    }
    if (fate === "other length" && payload.length > 0 && payload.length !== length) {
      this.#deliver({ ...message, payload: new Uint8Array(length) });
    }
    this.#deliver(message);
    if (fate !== "repeat") return;
    this.#old.push(message);
    this.#waiting.push(message, this.#old[pick % this.#old.length]!);
  }

  #send<K extends Kind>(subject: string, kind: K, fields: Fields<K>, payload: Uint8Array): void {
    const message = {
      subject,
      kind,
      fields: fields as Record<string, unknown>,
      payload: payload.slice(),
    };
    this.#waiting.push(message);
  }

  #deliver({ subject, kind, fields, payload }: Message): void {
    for (const listener of [...this.#listeners]) {
      if (!listener.subject.test(subject)) continue;
      // Each reader has memory of its own, which is used again when it returns.
      const lent = payload.slice();
      listener.handlers[kind]?.({ header: fields as unknown as Header<Kind>, payload: lent });
      lent.fill(0xff);
    }
  }

  #damage({ subject, fields }: Message): void {
    for (const listener of [...this.#listeners]) {
      if (!listener.subject.test(subject)) continue;
      listener.rejections.onCorrupt?.(
        fields as unknown as Header<Kind>,
        new ProtocolError("A message arrived damaged"),
      );
    }
  }

  #listen<K extends Kind>(subject: string, handlers: Handlers<K>, rejections: Rejections<K> = {}) {
    const pattern = subject.replaceAll(".", "\\.").replaceAll("*", "[^.]+");
    const listener = {
      subject: new RegExp(`^${pattern}$`),
      handlers,
      rejections,
    } as unknown as Listener;
    this.#listeners.add(listener);
    return { unsubscribe: () => void this.#listeners.delete(listener) } as ReturnType<
      ExchangeLink["subscribe"]
    >;
  }
}

/** Far more than any case needs. */
const MAX_DELIVERIES = 20_000;

/** Lets all that is ready run. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 8; turn++) await Promise.resolve();
}

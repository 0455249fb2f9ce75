/**
 * Links between the ends of an exchange in one process, without a server.
 *
 * @module
 */
import type { ExchangeLink } from "../../src/exchange/rank_end.ts";
import { FRAME_HEADER_BYTES } from "../../src/protocol/codec.ts";
import type { Handlers, Incoming } from "../../src/protocol/link.ts";
import type { Fields, Kind } from "../../src/protocol/messages.ts";
import { Subjects } from "../../src/protocol/subjects.ts";

/** A message on its way. */
interface Message {
  readonly subject: string;
  readonly kind: Kind;
  readonly fields: unknown;
  readonly payload: Uint8Array;
}

type Listener = (message: Message) => void;

/** The middle of all links of one test: each message reaches all who listen, later and in order. */
export class LocalBus {
  readonly subjects = new Subjects("local");
  readonly #listeners = new Set<{ readonly subject: RegExp; readonly take: Listener }>();

  /** Opens a link. */
  link(): ExchangeLink {
    return {
      serverGone: false,
      subjects: this.subjects,
      maxPayloadBytes: 1024 * 1024,
      publish: (subject, kind, fields, payload = new Uint8Array(0)) =>
        this.#send({ subject, kind, fields, payload }),
      publishInPlace: (subject, kind, fields, frame) =>
        this.#send({ subject, kind, fields, payload: frame.subarray(FRAME_HEADER_BYTES) }),
      subscribe: (subject, handlers) => this.#listen(subject, handlers),
      onReconnect: () => ({ unsubscribe: () => {} }),
      flush: () => Promise.resolve(),
    };
  }

  #send(message: Message): void {
    const sent = { ...message, payload: message.payload.slice() };
    for (const listener of this.#listeners) {
      if (!listener.subject.test(message.subject)) continue;
      queueMicrotask(() => this.#listeners.has(listener) && listener.take(sent));
    }
  }

  #listen<K extends Kind>(subject: string, handlers: Handlers<K>) {
    const pattern = subject.replaceAll(".", "\\.").replaceAll("*", "[^.]+");
    const take = ({ kind, fields, payload }: Message) => {
      const handler = handlers[kind as K] as ((message: Incoming<K>) => void) | undefined;
      handler?.({ header: fields as Fields<K>, payload } as Incoming<K>);
    };
    const listener = { subject: new RegExp(`^${pattern}$`), take };
    this.#listeners.add(listener);
    return { unsubscribe: () => void this.#listeners.delete(listener) } as ReturnType<
      ExchangeLink["subscribe"]
    >;
  }
}

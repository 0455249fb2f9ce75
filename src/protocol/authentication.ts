/**
 * Authentication of a run's messages, by a key that never travels: the coordinator passes it to each worker that it
 * starts on the worker's standard input.
 *
 * A header is authenticated by HMAC-SHA-256 (RFC 2104). A payload is authenticated by the Poly1305 tag of
 * ChaCha20-Poly1305 (RFC 8439), which the header holds: with node:crypto it takes half of the time of HMAC-SHA-256, also
 * where the processor has instructions for SHA. Its nonce is the message's number, and its key is
 * derived from the run's for each link, so no pair of key and nonce is used twice.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createCipheriv, createHmac, randomBytes, timingSafeEqual } from "node:crypto";

/** Bytes of a header's tag. */
export const TAG_BYTES = 32;

const KEY_BYTES = 32;
const LINK_BYTES = 16;
const NONCE_BYTES = 12;
const PAYLOAD_TAG_BYTES = 16;

/** Returns a new key of a run, as text. */
export function makeMessageKey(): string {
  return randomBytes(KEY_BYTES).toString("base64url");
}

/** Returns a new name of a link: no other link has the same one. */
export function makeLinkName(): string {
  return randomBytes(LINK_BYTES).toString("base64url");
}

/** The place of a message among all messages of its run. */
export interface MessageNumber {
  /** Name of the link that it was published on, as {@linkcode makeLinkName} returns it. */
  readonly link: string;
  /** Number among the messages of the link, from 1. */
  readonly number: number;
}

/** The key of a run's messages. */
export class MessageKey {
  readonly #key: Buffer;
  /** The key of each link's payloads. */
  readonly #payloadKeys = new Map<string, Buffer>();

  /** @param text As {@linkcode makeMessageKey} returns it */
  constructor(text: string) {
    this.#key = Buffer.from(text, "base64url");
  }

  /** Returns the tag of a header on a subject; it covers both. */
  sign(subject: string, header: Uint8Array): Uint8Array {
    return createHmac("sha256", this.#key).update(`header ${subject}\n`).update(header).digest();
  }

  /** Tells whether a header on a subject has this tag. */
  verify(subject: string, header: Uint8Array, tag: Uint8Array): boolean {
    return tag.length === TAG_BYTES && timingSafeEqual(tag, this.sign(subject, header));
  }

  /** Returns the tag of a message's payload. */
  signPayload(at: MessageNumber, payload: Uint8Array): string {
    return this.#payloadTag(at, payload).toString("base64url");
  }

  /** Tells whether the payload of a message whose header is authentic has this tag. */
  verifyPayload(at: MessageNumber, payload: Uint8Array, tag: string): boolean {
    const given = Buffer.from(tag, "base64url");
    return given.length === PAYLOAD_TAG_BYTES &&
      timingSafeEqual(given, this.#payloadTag(at, payload));
  }

  #payloadTag({ link, number }: MessageNumber, payload: Uint8Array): Buffer {
    const nonce = Buffer.alloc(NONCE_BYTES);
    nonce.writeBigUInt64LE(BigInt(number));
    const cipher = createCipheriv("chacha20-poly1305", this.#payloadKey(link), nonce, {
      authTagLength: PAYLOAD_TAG_BYTES,
    });
    cipher.setAAD(payload, { plaintextLength: 0 });
    cipher.final();
    return cipher.getAuthTag();
  }

  #payloadKey(link: string): Buffer {
    const known = this.#payloadKeys.get(link);
    if (known) return known;
    const key = createHmac("sha256", this.#key).update(`payloads of ${link}`).digest();
    this.#payloadKeys.set(link, key);
    return key;
  }
}

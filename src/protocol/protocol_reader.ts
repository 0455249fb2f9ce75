/**
 * Cuts the bytes that a nats-server sends between its messages, without another copy of large ones.
 *
 * NATS's protocol is lines that end in CR LF; the lines `MSG` and `HMSG` end in the length of the bytes that follow
 * them, before another CR LF.
 *
 * @module
 */

const FIRST_BYTES = 128 * 1024;
/** The least room for a read, in bytes. */
const MIN_ROOM = 16 * 1024;
/** Large messages that the memory has room for: the more, the less often a part of one has to be moved. */
const MESSAGES_HELD = 4;
/** Fewer bytes are handed over in memory of their own. */
const COPIED_BYTES = 64 * 1024;
/** No server lets more than 64 MiB through in one message. */
const MAX_BYTES = 64 * 1024 * 1024;

const LINE_FEED = 0x0a;
const SPACE = 0x20;
const DIGIT_0 = 0x30;
const LETTER_H = 0x48;
const LETTER_M = 0x4d;
const UPPER_CASE = 0xdf;
const CR_LF_BYTES = 2;

/** Memory in which messages arrive. Its parts lie like this: taken, whole messages, a part of one, room. */
export class ProtocolReader {
  #memory = new Uint8Array(FIRST_BYTES);
  /** The offset where the whole messages begin … */
  #start = 0;
  /** … and end. */
  #whole = 0;
  /** The end of what has arrived. */
  #end = 0;
  /** The end of the message behind the whole ones, once the first line of this message has arrived. */
  #next: number | undefined;

  /** Memory for the next bytes; {@linkcode filled} is called with the number that came. */
  room(): Uint8Array {
    if (this.#start === this.#end) this.#moveTo(this.#memory);
    const missing = Math.max((this.#next ?? 0) - this.#end, MIN_ROOM);
    if (this.#memory.length - this.#end < missing) {
      const message = this.#end - this.#start + missing;
      const isLarge = MESSAGES_HELD * message > this.#memory.length;
      this.#moveTo(isLarge ? new Uint8Array(MESSAGES_HELD * message) : this.#memory);
    }
    return this.#memory.subarray(this.#end);
  }

  /**
   * Notes that `count` bytes came into {@linkcode room}.
   *
   * @throws {RangeError} When a message is longer than any that NATS has
   */
  filled(count: number): void {
    const from = this.#end;
    this.#end += count;
    this.#next ??= this.#findNext(from);
    while (this.#next !== undefined && this.#next <= this.#end) {
      this.#whole = this.#next;
      this.#next = this.#findNext(this.#whole);
    }
  }

  /**
   * All whole messages that have arrived; nothing without any. Large ones are valid until {@linkcode room} is
   * called again.
   */
  take(): Uint8Array | undefined {
    if (this.#whole === this.#start) return undefined;
    const messages = this.#memory.subarray(this.#start, this.#whole);
    this.#start = this.#whole;
    return messages.length < COPIED_BYTES ? messages.slice() : messages;
  }

  /** Returns the first line if it has arrived, without taking it. */
  firstLine(): string | undefined {
    const end = this.#memory.subarray(this.#start, this.#end).indexOf(LINE_FEED);
    if (end < 0) return undefined;
    return new TextDecoder().decode(this.#memory.subarray(this.#start, this.#start + end));
  }

  /** Returns the bytes that have arrived and are not taken yet. */
  peek(): Uint8Array {
    return this.#memory.subarray(this.#start, this.#end);
  }

  /** The end of the message that begins behind the whole ones; the end of its first line is looked for from `from` on. */
  #findNext(from: number): number | undefined {
    const found = this.#memory.subarray(from, this.#end).indexOf(LINE_FEED);
    if (found < 0) return undefined;
    const lineEnd = from + found + 1;
    const letter = this.#memory[this.#whole]! & UPPER_CASE; // the line feed is behind it
    const hasPayload = letter === LETTER_M || letter === LETTER_H;
    return hasPayload ? lineEnd + this.#numberBefore(lineEnd - CR_LF_BYTES) + CR_LF_BYTES : lineEnd;
  }

  #numberBefore(end: number): number {
    let value = 0;
    let unit = 1;
    for (let at = end - 1; at > this.#whole && this.#memory[at]! > SPACE; at--) {
      value += unit * (this.#memory[at]! - DIGIT_0);
      unit *= 10;
    }
    if (value <= MAX_BYTES) return value;
    throw new RangeError(`A message of ${value} bytes: NATS has none that long`);
  }

  /** Moves what isn't taken to the beginning of some memory, which may be the present one. */
  #moveTo(memory: Uint8Array<ArrayBuffer>): void {
    memory.set(this.#memory.subarray(this.#start, this.#end));
    this.#memory = memory;
    this.#whole -= this.#start;
    this.#end -= this.#start;
    if (this.#next !== undefined) this.#next -= this.#start;
    this.#start = 0;
  }
}

/**
 * Cuts the bytes that a nats-server sends between its messages, without another copy of large ones.
 *
 * NATS's protocol is lines that end in CR LF; the lines `MSG` and `HMSG` end in the length of the bytes that follow
 * them, before another CR LF. Lines of another form are refused here: the client's own parser would print them, and
 * guess where the next message begins.
 *
 * @module
 */
import { visible } from "../base/visible_text.ts";
import { ProtocolError } from "./codec.ts";

const FIRST_BYTES = 128 * 1024;
/** The least room for a read, in bytes. */
const MIN_ROOM = 16 * 1024;
/** Large messages that the memory has room for: the more, the less often a part of one has to be moved. */
const MESSAGES_HELD = 4;
/** Fewer bytes are handed over in memory of their own. */
const COPIED_BYTES = 64 * 1024;
/** No server lets more than 64 MiB through in one message. */
const MAX_BYTES = 64 * 1024 * 1024;

/** Bytes of a line; the longest, `INFO` of a cluster of thousands of servers, has some 100 KiB. */
const MAX_LINE_BYTES = 1024 * 1024;

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const CR_LF_BYTES = 2;

/** Lines without a payload. `INFO` holds an object, as the client takes for granted. */
const PLAIN_LINE = /^(?:PING|PONG|\+OK|-ERR[ \t]+.+|INFO[ \t]+(\{.*\}))$/is;
const NUMBER = /^\d{1,15}$/;
/** Characters of a line in an error. */
const SHOWN_CHARACTERS = 60;

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

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
   * @throws {ProtocolError} When a line is none of NATS's, a message is longer than any that NATS has, or doesn't end
   *   where its line says
   */
  filled(count: number): void {
    const from = this.#end;
    this.#end += count;
    this.#next ??= this.#findNext(from);
    while (this.#next !== undefined && this.#next <= this.#end) {
      this.#requireLineEnd(this.#next);
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
    if (found < 0) {
      if (this.#end - this.#whole <= MAX_LINE_BYTES) return undefined;
      throw new ProtocolError(
        `A line of more than ${MAX_LINE_BYTES} bytes: NATS has none that long`,
      );
    }
    const lineEnd = from + found + 1;
    this.#requireLineEnd(lineEnd);
    const line = decoder.decode(this.#memory.subarray(this.#whole, lineEnd - CR_LF_BYTES));
    const bytes = payloadBytes(line.replace(/[ \t]+$/, ""));
    return bytes === undefined ? lineEnd : lineEnd + bytes + CR_LF_BYTES;
  }

  #requireLineEnd(end: number): void {
    const isEnd = end - this.#whole >= CR_LF_BYTES && this.#memory[end - 1] === LINE_FEED &&
      this.#memory[end - 2] === CARRIAGE_RETURN;
    if (isEnd) return;
    const start = this.#memory.subarray(this.#whole, Math.min(end, this.#whole + SHOWN_CHARACTERS));
    throw new ProtocolError(
      `A message of NATS that doesn't end in CR LF: ${excerpt(decoder.decode(start))}`,
    );
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

/**
 * The bytes that follow a line; nothing behind a line that is a message of its own.
 *
 * @throws {ProtocolError} When it is no line of NATS's
 */
function payloadBytes(line: string): number | undefined {
  const plain = PLAIN_LINE.exec(line);
  if (line.includes("\r")) {
    throw new ProtocolError(`A line of NATS that is broken: ${excerpt(line)}`);
  }
  if (plain) {
    if (plain[1] !== undefined && !isObject(plain[1])) {
      throw new ProtocolError(`A line of NATS with damaged JSON: ${excerpt(line)}`);
    }
    return undefined;
  }
  const bytes = lengthIn(line.split(/[ \t]+/));
  if (bytes === undefined) {
    throw new ProtocolError(`A line that NATS doesn't have: ${excerpt(line)}`);
  }
  if (bytes <= MAX_BYTES) return bytes;
  throw new ProtocolError(`A message of ${bytes} bytes: NATS has none that long`);
}

/** The last number of `MSG <subject> <sid> [reply] <bytes>` or `HMSG <subject> <sid> [reply] <header bytes> <bytes>`. */
function lengthIn([verb = "", , sid = "", ...rest]: readonly string[]): number | undefined {
  const isPlain = /^MSG$/i.test(verb);
  if (!isPlain && !/^HMSG$/i.test(verb)) return undefined;
  const numbers = [sid, ...rest.slice(isPlain ? -1 : -2)];
  const counts = isPlain ? [1, 2] : [2, 3];
  if (!counts.includes(rest.length) || !numbers.every((word) => NUMBER.test(word))) {
    return undefined;
  }
  const bytes = Number(numbers.at(-1));
  return Number(numbers.at(-2)) > bytes && !isPlain ? undefined : bytes;
}

function isObject(json: string): boolean {
  try {
    return typeof JSON.parse(json) === "object"; // it begins with a brace
  } catch {
    return false;
  }
}

function excerpt(line: string): string {
  const shown = line.length > SHOWN_CHARACTERS ? `${line.slice(0, SHOWN_CHARACTERS)}…` : line;
  return `"${visible(shown)}"`;
}

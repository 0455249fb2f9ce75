/**
 * Output that never blocks: text waits in a queue while a pipe or a terminal takes no more.
 *
 * A write to a full pipe, or to a terminal stopped with Ctrl-S, lasts until somebody reads. In this thread it would
 * stop heartbeats and signals; here it lasts in a thread of the runtime's pool.
 *
 * @module
 */

/** The target of the bytes, such as `Deno.stdout`. */
export interface OutputTarget {
  /** Resolves to the number of bytes taken; lasts as long as the other end takes none. */
  write(bytes: Uint8Array): Promise<number>;
  /** Does the same at the end of the process, when promises no longer resolve. */
  writeSync(bytes: Uint8Array): number;
}

/** The kind of a text: news may be dropped when nobody reads, a result may not. */
export type OutputKind = "news" | "result";

/** A queue's report of errors, and its clock. */
export interface OutputQueueOptions {
  /** Called with the error when a target refuses some text, such as on a full disk; its later text is tried again. */
  readonly onError?: (target: OutputTarget, error: unknown, kind: OutputKind) => void;
  /** Clock in milliseconds. */
  readonly now?: () => number;
}

interface Entry {
  readonly target: OutputTarget;
  readonly kind: OutputKind;
  readonly bytes: Uint8Array;
}

/** Bytes of news that wait at most; the standard size of a pipe. */
const MAX_NEWS_BYTES = 2 ** 16;
/** Bytes per write: progress is seen by the write. */
const CHUNK_BYTES = 2 ** 16;
/** Milliseconds between tries at a pipe that another process made non-blocking and that is full. */
const RETRY_MS = 20;
/** Milliseconds that a write in flight at the exit of the process is given. */
const LAST_MS = 20;

/** Text for one or more targets, in the order in which it was written. */
export class OutputQueue {
  readonly #options: OutputQueueOptions;
  readonly #now: () => number;
  readonly #gone = new Set<OutputTarget>();
  readonly #encoder = new TextEncoder();
  #entries: Entry[] = [];
  #newsBytes = 0;
  #bytes = 0;
  #flight: Entry | undefined;
  #isPumping = false;
  #isClosed = false;
  #progressAt: number;
  #waiting: { readonly limit: number; readonly resolve: () => void }[] = [];
  /** Number of lines of news that were dropped since the last one that found room, and the start of the stall. */
  #dropped: { lines: number; readonly since: number } | undefined;

  /** Makes an empty queue. */
  constructor(options: OutputQueueOptions = {}) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#progressAt = this.#now();
  }

  /** Bytes that wait, those in flight included. */
  get bytes(): number {
    return this.#bytes;
  }

  /** `true` where a result is among the waiting texts. */
  get holdsResults(): boolean {
    return [...this.#entries, this.#flight].some((entry) => entry?.kind === "result");
  }

  /** Milliseconds since the other end last took something, or since there was something to take. */
  get stalledMs(): number {
    return this.#bytes === 0 ? 0 : this.#now() - this.#progressAt;
  }

  /** Tells whether the reader of a target has gone: nothing more is written there. */
  isGone(target: OutputTarget): boolean {
    return this.#gone.has(target);
  }

  /** Queues text; news are dropped, and counted, while too much of them waits. */
  write(target: OutputTarget, text: string, kind: OutputKind): void {
    if (text === "" || this.#isClosed || this.#gone.has(target)) return;
    const bytes = this.#encoder.encode(text);
    if (kind === "news" && this.#newsBytes > 0 && this.#newsBytes + bytes.length > MAX_NEWS_BYTES) {
      this.#dropped ??= { lines: 0, since: this.#progressAt };
      this.#dropped.lines += text.split("\n").length - 1;
      return;
    }
    if (kind === "news") this.#tellDropped(target);
    this.#push({ target, kind, bytes });
  }

  /** Resolves once at most `limit` bytes wait: at 0, all is written. */
  async until(limit: number): Promise<void> {
    if (this.#bytes <= limit) return;
    await new Promise<void>((resolve) => this.#waiting.push({ limit, resolve }));
  }

  /** Drops what waits, and all that comes. */
  close(): void {
    this.#isClosed = true;
    this.#bytes = this.#newsBytes = 0;
    this.#entries = [];
    this.#settle();
  }

  /** Writes what waits at the exit of the process, unless a write is held up. */
  writeLast(): void {
    if (this.#flight) { // in a thread of its own: it may go on, but its end can't be seen any more
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LAST_MS);
      return;
    }
    const entries = this.#entries;
    this.close();
    for (const { target, bytes } of entries) {
      try {
        for (let at = 0; at < bytes.length;) at += target.writeSync(bytes.subarray(at));
      } catch {
        return; // the process ends
      }
    }
  }

  #tellDropped(target: OutputTarget): void {
    const dropped = this.#dropped;
    this.#dropped = undefined;
    if (!dropped || dropped.lines === 0) return;
    const seconds = Math.max(1, Math.round((this.#now() - dropped.since) / 1000));
    const lines = dropped.lines === 1 ? "1 line was" : `${dropped.lines} lines were`;
    const text = `\n… ${lines} left out here: nobody read this output for ${seconds} s\n`;
    this.#push({ target, kind: "news", bytes: this.#encoder.encode(text) });
  }

  #push(entry: Entry): void {
    if (this.#bytes === 0) this.#progressAt = this.#now();
    this.#entries.push(entry);
    this.#bytes += entry.bytes.length;
    if (entry.kind === "news") this.#newsBytes += entry.bytes.length;
    if (this.#isPumping) return;
    this.#isPumping = true;
    queueMicrotask(() => this.#pump()); // what is written in one go is one write
  }

  async #pump(): Promise<void> {
    for (let next = this.#take(); next; next = this.#take()) {
      this.#flight = next;
      await this.#send(next);
      this.#flight = undefined;
      this.#settle();
    }
    this.#isPumping = false;
  }

  /** Takes the next entries of one target and kind, as one. */
  #take(): Entry | undefined {
    const [first] = this.#entries;
    if (!first) return undefined;
    let count = 0;
    let size = 0;
    for (const { target, kind, bytes } of this.#entries) {
      if (target !== first.target || kind !== first.kind) break;
      if (count > 0 && size + bytes.length > CHUNK_BYTES) break;
      size += bytes.length;
      count++;
    }
    const taken = this.#entries.splice(0, count);
    if (count === 1) return first;
    const bytes = new Uint8Array(size);
    let at = 0;
    for (const part of taken) {
      bytes.set(part.bytes, at);
      at += part.bytes.length;
    }
    return { ...first, bytes };
  }

  async #send({ target, kind, bytes }: Entry): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      let written = 0;
      try {
        if (!this.#gone.has(target)) {
          written = await target.write(bytes.subarray(at, at + CHUNK_BYTES));
          this.#progressAt = this.#now();
        }
      } catch (error) {
        if (error instanceof Deno.errors.WouldBlock) {
          await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
          continue;
        }
        if (isGone(error)) this.#gone.add(target);
        else this.#options.onError?.(target, error, kind);
      }
      const left = written > 0 ? written : bytes.length - at;
      at += left;
      this.#bytes = Math.max(0, this.#bytes - left);
      if (kind === "news") this.#newsBytes = Math.max(0, this.#newsBytes - left);
      this.#settle();
    }
  }

  #settle(): void {
    const ready = this.#waiting.filter(({ limit }) => this.#bytes <= limit);
    this.#waiting = this.#waiting.filter(({ limit }) => this.#bytes > limit);
    for (const { resolve } of ready) resolve();
  }
}

/** Tells whether a reader went away, or a terminal was closed (`EIO`). */
function isGone(error: unknown): boolean {
  return error instanceof Deno.errors.BrokenPipe ||
    (error as { code?: string } | null)?.code === "EIO";
}

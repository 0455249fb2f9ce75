/**
 * Reusable memory for the bytes that are on their way to the server.
 *
 * The NATS client joins the bytes that it sends at a time. In new memory for each megabyte, joining is
 * several times as slow as the copying itself: the kernel has to find and clear every page of that memory.
 *
 * @module
 */
import { DataBuffer } from "../deps/nats_core.ts";

/** Less is joined in new memory. */
const MIN_BYTES = 64 * 1024;
/** Free memory that is kept. */
const MAX_FREE_BYTES = 64 * 1024 * 1024;

/** Lends memory, and takes it back once it has been sent. */
export class SendMemory {
  readonly #free: ArrayBuffer[] = [];
  #freeBytes = 0;
  readonly #lent = new WeakSet<ArrayBufferLike>();

  /** Memory of a length; its contents are left from before. */
  take(length: number): Uint8Array<ArrayBuffer> {
    if (length < MIN_BYTES) return new Uint8Array(length);
    const at = this.#free.findLastIndex(({ byteLength }) => byteLength >= length);
    const [memory = new ArrayBuffer(roundedUp(length))] = at < 0 ? [] : this.#free.splice(at, 1);
    if (at >= 0) this.#freeBytes -= memory.byteLength;
    this.#lent.add(memory);
    return new Uint8Array(memory, 0, length);
  }

  /** Takes back memory that {@linkcode take} returned; other memory is left alone. */
  give({ buffer }: Uint8Array): void {
    if (!this.#lent.delete(buffer)) return;
    if (this.#freeBytes + buffer.byteLength > MAX_FREE_BYTES) return;
    this.#free.push(buffer as ArrayBuffer);
    this.#freeBytes += buffer.byteLength;
  }
}

/** The bytes that the client has yet to send, joined in lent memory. */
export class OutgoingBuffer extends DataBuffer {
  readonly #memory: SendMemory;

  constructor(memory: SendMemory) {
    super();
    this.#memory = memory;
  }

  override pack(): void {
    if (this.buffers.length <= 1) return;
    const joined = this.#memory.take(this.byteLength);
    let at = 0;
    for (const part of this.buffers) {
      joined.set(part, at);
      at += part.length;
    }
    this.buffers = [joined];
  }
}

/** The next power of 2: lengths that differ a little share memory. */
function roundedUp(length: number): number {
  return 2 ** Math.ceil(Math.log2(length));
}

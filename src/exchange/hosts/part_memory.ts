/**
 * Memory for the parts of vectors that are on their way between hosts, used again and again: new memory for each
 * megabyte costs several times as much as the copy into it.
 *
 * @module
 */

/** Memory that is free, at most; more is left to the garbage collector. */
const MAX_FREE_BYTES = 64 * 2 ** 20;

/** A pool of buffers of one length. */
export class PartMemory {
  readonly #bytes: number;
  readonly #free: ArrayBuffer[] = [];

  /** @param bytes Length of a buffer */
  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** Returns the first bytes of a buffer, whose contents are left from before. */
  take(length: number): Uint8Array<ArrayBuffer> {
    if (length > this.#bytes) return new Uint8Array(length);
    return new Uint8Array(this.#free.pop() ?? new ArrayBuffer(this.#bytes), 0, length);
  }

  /** Takes a buffer back. */
  give({ buffer }: Uint8Array<ArrayBuffer>): void {
    if (buffer.byteLength !== this.#bytes) return;
    if (this.#free.length * this.#bytes < MAX_FREE_BYTES) this.#free.push(buffer);
  }
}

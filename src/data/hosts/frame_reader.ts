/**
 * Reads the frames of a file server's answer.
 *
 * @module
 */
import {
  decodeHead,
  DIGEST_BYTES,
  type FrameHead,
  HEAD_BYTES,
  TransferError,
} from "./file_source.ts";

/** The frames of one answer. */
export class FrameReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array();

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /**
   * Reads the head of the next frame.
   *
   * @throws {TransferError} when the answer ends, or something else comes
   */
  async head(): Promise<FrameHead> {
    const head = decodeHead(await this.#exactly(HEAD_BYTES));
    if (!head) throw new TransferError("the server sent what is no file");
    return head;
  }

  /** Reads a number of bytes as they come, which are valid until the next ones are read. */
  async *bytes(count: number): AsyncGenerator<Uint8Array> {
    for (let left = count; left > 0;) {
      const some = await this.#some(left);
      left -= some.length;
      yield some;
    }
  }

  /** Reads the hash behind a file. */
  async digest(): Promise<string> {
    return (await this.#exactly(DIGEST_BYTES)).toHex();
  }

  /** Reads text of a number of bytes. */
  async text(count: number): Promise<string> {
    return new TextDecoder().decode(await this.#exactly(count));
  }

  async #exactly(count: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(count);
    let at = 0;
    for await (const some of this.bytes(count)) {
      bytes.set(some, at);
      at += some.length;
    }
    return bytes;
  }

  /** The next bytes, at most `max`. */
  async #some(max: number): Promise<Uint8Array> {
    while (this.#chunk.length === 0) {
      const { value, done } = await this.#chunks.next();
      if (done) throw new TransferError("the connection broke");
      this.#chunk = value;
    }
    const some = this.#chunk.subarray(0, max);
    this.#chunk = this.#chunk.subarray(some.length);
    return some;
  }
}

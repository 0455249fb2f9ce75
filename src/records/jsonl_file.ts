/**
 * Files of JSON objects, one per line, that are only ever appended to.
 *
 * @module
 */

import { asLockstepError } from "../base/errors.ts";
import { openRegularFileSync } from "../base/regular_file.ts";

const LINE_BREAK = 0x0a;

/**
 * A file that grows by whole lines. Each line is one write, so that a killed process leaves whole lines but for
 * the last one at most.
 */
export class LineFile implements Disposable {
  readonly #path: string;
  readonly #file: Deno.FsFile;
  #open = true;
  /** True if the file ends with a part of a line. */
  #isHalf = false;

  /**
   * @param path Made when missing; a half line at its end, which a killed process left, is ended
   * @throws {SystemError} when it can't be opened or is no regular file
   */
  constructor(path: string) {
    this.#path = path;
    try {
      this.#file = openRegularFileSync(path, { read: true, append: true, create: true });
      const { size } = this.#file.statSync();
      if (size === 0) return;
      const last = new Uint8Array(1);
      this.#file.seekSync(size - 1, Deno.SeekMode.Start);
      this.#file.readSync(last);
      this.#isHalf = last[0] !== LINE_BREAK;
    } catch (error) {
      throw asLockstepError(error, path);
    }
  }

  /**
   * Appends a line; nothing after {@linkcode LineFile.close}.
   *
   * @throws {SystemError} when the disk is full, for one; what is there of the line then is ended by the next one
   */
  append(line: string): void {
    if (!this.#open) return;
    const bytes = new TextEncoder().encode((this.#isHalf ? "\n" : "") + line + "\n");
    let offset = 0;
    try {
      while (offset < bytes.length) offset += this.#file.writeSync(bytes.subarray(offset));
    } catch (error) {
      if (offset > 0) this.#isHalf = bytes[offset - 1] !== LINE_BREAK;
      throw asLockstepError(error, this.#path);
    }
    this.#isHalf = false;
  }

  /**
   * Waits until the lines are on the disk.
   *
   * @throws {SystemError} when they can't be written
   */
  sync(): void {
    try {
      if (this.#open) this.#file.syncDataSync();
    } catch (error) {
      throw asLockstepError(error, this.#path);
    }
  }

  /** Closes the file; may be called more than once. */
  close(): void {
    if (this.#open) this.#file.close();
    this.#open = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The lines of a text with the bytes where each ends; what follows the last line break isn't one. */
export function* linesOf(bytes: Uint8Array): Generator<{ text: string; end: number }> {
  const decoder = new TextDecoder();
  for (let start = 0;;) {
    const end = bytes.indexOf(LINE_BREAK, start);
    if (end < 0) return;
    yield { text: decoder.decode(bytes.subarray(start, end)), end: end + 1 };
    start = end + 1;
  }
}

/** The value of a line of JSON, or `undefined` where it isn't JSON: half a line of a killed process, for one. */
export function parseLine(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

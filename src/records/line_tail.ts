/**
 * Reading of files that grow by whole lines: only what is new, in pieces of bounded size.
 *
 * @module
 */
import { openRegularFile } from "../base/regular_file.ts";
import { linesOf } from "./jsonl_file.ts";

/** Bytes that are read at a time: what waits for a slow reader is no more. */
const PIECE = 256 * 1024;

/** A file that is read as it grows, line by line. */
export class LineTail {
  readonly #path: string;
  /** Bytes that are read. */
  offset: number;

  constructor(path: string, offset: number) {
    this.#path = path;
    this.offset = offset;
  }

  /** Begins near the end of the file, with a whole line. */
  async skipTo(bytesBeforeEnd: number): Promise<void> {
    const size = await this.#size();
    if (size > bytesBeforeEnd) this.offset = size - bytesBeforeEnd;
  }

  /**
   * The next lines, as far as one piece of the file goes.
   *
   * @returns `undefined` when the file isn't the one that was read before: it was cut off
   */
  async next(): Promise<string[] | undefined> {
    const size = await this.#size();
    if (size < this.offset) return undefined;
    if (size === this.offset) return [];
    using file = await openRegularFile(this.#path);
    if (this.offset > 0 && !await startsAtLine(file, this.offset)) return undefined;
    const bytes = new Uint8Array(Math.min(PIECE, size - this.offset));
    await file.seek(this.offset, Deno.SeekMode.Start);
    const count = await file.read(bytes) ?? 0;
    const lines = [...linesOf(bytes.subarray(0, count))];
    const end = lines.at(-1)?.end ?? 0;
    // A line longer than a piece is none of ours.
    this.offset += end === 0 && count === PIECE ? count : end;
    return lines.map(({ text }) => text);
  }

  /** Moves to the beginning of a line. */
  async alignToLine(): Promise<void> {
    if (this.offset === 0) return;
    using file = await openRegularFile(this.#path);
    await file.seek(this.offset, Deno.SeekMode.Start);
    const bytes = new Uint8Array(8192);
    const count = await file.read(bytes) ?? 0;
    const end = bytes.subarray(0, count).indexOf(0x0a);
    this.offset += end < 0 ? count : end + 1;
  }

  async #size(): Promise<number> {
    try {
      const { isFile, size } = await Deno.stat(this.#path);
      return isFile ? size : 0; // opening a pipe would wait for its other end
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return 0;
      throw error;
    }
  }
}

/** Tells whether the byte before an offset is a line break. */
async function startsAtLine(file: Deno.FsFile, offset: number): Promise<boolean> {
  const byte = new Uint8Array(1);
  await file.seek(offset - 1, Deno.SeekMode.Start);
  await file.read(byte);
  return byte[0] === 0x0a;
}

/**
 * The last whole line of a file, or `undefined` where there is none; reads 256 KiB at most, whatever the file's size.
 */
export async function lastLine(path: string): Promise<string | undefined> {
  try {
    if (!(await Deno.stat(path)).isFile) return undefined; // opening a pipe would wait for its other end
    using file = await openRegularFile(path);
    const { size } = await file.stat();
    const start = Math.max(0, size - PIECE);
    const bytes = new Uint8Array(size - start);
    await file.seek(start, Deno.SeekMode.Start);
    const count = await file.read(bytes) ?? 0;
    let last: string | undefined;
    for (const { text } of linesOf(bytes.subarray(0, count))) last = text;
    return last;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

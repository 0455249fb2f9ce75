/**
 * Files of JSON objects, one per line, that are only ever appended to.
 *
 * @module
 */

const LINE_BREAK = 0x0a;

/**
 * A file that grows by whole lines. Each line is one write, so that a killed process leaves whole lines but for
 * the last one at most.
 */
export class LineFile implements Disposable {
  readonly #file: Deno.FsFile;
  #open = true;

  /** @param path Made when missing; a half line at its end, which a killed process left, is ended */
  constructor(path: string) {
    this.#file = Deno.openSync(path, { read: true, append: true, create: true });
    const { size } = this.#file.statSync();
    if (size === 0) return;
    const last = new Uint8Array(1);
    this.#file.seekSync(size - 1, Deno.SeekMode.Start);
    this.#file.readSync(last);
    if (last[0] !== LINE_BREAK) this.append("");
  }

  /** Appends a line; nothing after {@linkcode LineFile.close}. */
  append(line: string): void {
    if (!this.#open) return;
    const bytes = new TextEncoder().encode(line + "\n");
    for (let offset = 0; offset < bytes.length;) {
      offset += this.#file.writeSync(bytes.subarray(offset));
    }
  }

  /** Waits until the lines are on the disk. */
  sync(): void {
    if (this.#open) this.#file.syncDataSync();
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

/**
 * Random access to a file for zip.js, so that an archive of any size needs little memory.
 *
 * @module
 */
import { Reader } from "../deps/zip.ts";
import { openRegularFileSync } from "../base/regular_file.ts";

/** Reads parts of a file. */
export class FileReader extends Reader<string> implements Disposable {
  readonly #file: Deno.FsFile;

  constructor(path: string) {
    super(path);
    this.#file = openRegularFileSync(path);
    this.size = this.#file.statSync().size;
  }

  override readUint8Array(index: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(Math.max(0, Math.min(length, this.size - index)));
    this.#file.seekSync(index, Deno.SeekMode.Start);
    let filled = 0;
    while (filled < bytes.length) {
      const count = this.#file.readSync(bytes.subarray(filled));
      if (count === null) break;
      filled += count;
    }
    return Promise.resolve(bytes.subarray(0, filled));
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

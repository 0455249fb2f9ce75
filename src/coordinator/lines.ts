/**
 * A process's output, line by line.
 *
 * @module
 */

const LONGEST_LINE = 16 * 1024;

/** The lines of a byte stream as UTF-8 text; a line that never ends is cut at 16 KiB. */
export async function* readLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const bytes of stream) {
    const parts = (rest + decoder.decode(bytes, { stream: true })).split(/\r?\n/);
    rest = parts.pop()!;
    yield* parts;
    if (rest.length > LONGEST_LINE) {
      yield rest;
      rest = "";
    }
  }
  if (rest) yield rest;
}

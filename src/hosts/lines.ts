/**
 * Output of a process, line by line, and a description of its exit.
 *
 * @module
 */

const MAX_LINE = 16 * 1024;

/**
 * The lines of a byte stream as UTF-8 text.
 *
 * @param longest Characters after which a line without an end is cut
 */
export async function* readLines(
  stream: ReadableStream<Uint8Array>,
  longest: number = MAX_LINE,
): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const bytes of stream) {
    const parts = (rest + decoder.decode(bytes, { stream: true })).split(/\r?\n/);
    rest = parts.pop()!;
    yield* parts;
    if (rest.length > longest) {
      yield rest;
      rest = "";
    }
  }
  if (rest) yield rest;
}

/**
 * Reads a process's output to its end, and keeps the last lines.
 *
 * @param lines Gets the lines, at most `most` at a time
 * @param onLine Called with each line
 */
export async function keepLines(
  stream: ReadableStream<Uint8Array>,
  lines: string[],
  most: number,
  onLine?: (line: string) => void,
): Promise<void> {
  for await (const line of readLines(stream)) {
    lines.push(line);
    if (lines.length > most) lines.shift();
    onLine?.(line);
  }
}

/** Describes the end of a process, as the predicate of a sentence. */
export function describeExit({ code, signal }: { code: number; signal: string | null }): string {
  return signal === null ? `exited with code ${code}` : `was killed by ${signal}`;
}

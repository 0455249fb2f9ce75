/**
 * Where lines go: a terminal or a pipe, its width, its colours, and text made safe to print.
 *
 * @module
 */
import { format, stripVTControlCharacters, styleText } from "node:util";
import { messageOf } from "../base/errors.ts";
import { describeSystemError } from "../base/system_words.ts";
import { maskSecrets } from "../base/secrets.ts";
import { visibleMessage } from "../base/visible_text.ts";

/** A place for text: standard output, standard error, or what a test gives. */
export interface TerminalStream {
  /** Whether a person watches: live bars and colours are allowed. */
  readonly isTerminal: boolean;
  /** Characters per line, asked anew at each drawing since windows are resized. */
  readonly columns: number;
  /** Writes all of it. */
  write(text: string): void;
}

/** What {@linkcode styled} can do to text. */
export type Style = "bold" | "dim" | "green" | "yellow" | "red";

const DEFAULT_COLUMNS = 80;
/** How long a full pipe is waited for, in milliseconds, before text is dropped. */
const PATIENCE_MS = 1000;

/** The process's own standard output or standard error. */
export function standardStream(name: "stdout" | "stderr"): TerminalStream {
  const stream = Deno[name];
  return {
    isTerminal: stream.isTerminal() && Deno.env.get("TERM") !== "dumb",
    get columns() {
      return currentColumns();
    },
    write: (text) => writePatiently(stream, new TextEncoder().encode(text)),
  };
}

/** `text` in a style where the stream is a terminal and `NO_COLOR` is not set; else as it is. */
export function styled(stream: TerminalStream, style: Style, text: string): string {
  if (!stream.isTerminal || Deno.env.get("NO_COLOR")) return text;
  return styleText(style, text, { validateStream: false });
}

/**
 * A message as it may be written to a terminal or a log: see {@linkcode visibleMessage}; secrets are masked. What a
 * worker, a file name or a server said must not move the cursor, change colours, or look like another line.
 */
export function printable(text: string): string {
  return visibleMessage(maskSecrets(text));
}

/** A line of another program, without the colours and cursor movements that it meant for its own terminal. */
export function printableOutput(line: string): string {
  return printable(stripVTControlCharacters(line));
}

/** Writes a message to standard output. */
export function say(message: string): void {
  standardStream("stdout").write(`${printable(message)}\n`);
}

function currentColumns(): number {
  try {
    return Deno.consoleSize().columns || DEFAULT_COLUMNS;
  } catch {
    return DEFAULT_COLUMNS; // no terminal at all
  }
}

/** Whether a terminal was closed (`EIO`). */
function isGone(error: unknown): boolean {
  return (error as { code?: string } | null)?.code === "EIO";
}

/** Why standard output couldn't be written, the first time that it couldn't. */
let failure: string | undefined;

/**
 * Why standard output takes no more, such as a full disk; a command does its work to the end all the same.
 *
 * @returns `undefined` where all was written, and where the reader wanted no more (`… | head`)
 */
export function outputFailure(): string | undefined {
  return failure;
}

/** Lets `console.log()` and `console.error()` write as {@linkcode standardStream} does: they never throw. */
export function guardConsole(): void {
  for (const [method, name] of [["log", "stdout"], ["error", "stderr"]] as const) {
    const stream = standardStream(name);
    console[method] = (...data: unknown[]) => stream.write(`${format(...data)}\n`);
  }
}

/**
 * Writes all bytes. A reader that went away (`… | head`), a terminal that was closed or a disk that is full must not
 * end a run, so the error is kept for the end; a pipe that another process made non-blocking and that is full just now
 * is waited for.
 */
function writePatiently(stream: typeof Deno.stdout, bytes: Uint8Array): void {
  const deadline = performance.now() + PATIENCE_MS;
  for (let offset = 0; offset < bytes.length;) {
    try {
      offset += stream.writeSync(bytes.subarray(offset));
    } catch (error) {
      if (error instanceof Deno.errors.BrokenPipe || isGone(error)) return;
      if (!(error instanceof Deno.errors.WouldBlock)) {
        if (stream === Deno.stdout) {
          failure ??= describeSystemError(error)?.reason ?? messageOf(error);
        }
        return;
      }
      if (performance.now() > deadline) return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

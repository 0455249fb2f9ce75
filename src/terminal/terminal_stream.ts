/**
 * The target of lines: a terminal or a pipe, its width, its colours, and text made safe to print.
 *
 * @module
 */
import { fstatSync } from "node:fs";
import { format, stripVTControlCharacters, styleText } from "node:util";
import { orAborted, waitAtMost } from "../base/async.ts";
import { reasonOf } from "../base/errors.ts";
import { maskSecrets } from "../base/secrets.ts";
import { stopRequested } from "../base/signals.ts";
import { visibleMessage } from "../base/visible_text.ts";
import { type OutputKind, OutputQueue, type OutputTarget } from "./output_queue.ts";

/** A place for text: standard output, standard error, or what a test gives. */
export interface TerminalStream {
  /** `true` where a person watches: live bars and colours are allowed. */
  readonly isTerminal: boolean;
  /** Characters per line, asked anew at each drawing since windows are resized. */
  readonly columns: number;
  /** Writes all of it, or leaves it to a queue; never waits for a reader. */
  write(text: string): void;
}

/** The styles that {@linkcode styled} can give to text. */
export type Style = "bold" | "dim" | "green" | "yellow" | "red";

const DEFAULT_COLUMNS = 80;
/** Milliseconds without a reader after which the end of the process drops news that wait. */
const TIMEOUT_MS = 2000;
/** Bytes of a result that may wait for its reader before more of it is made. */
const MAX_RESULT_BYTES = 2 ** 20;

/** The queues of both streams; one where both are the same terminal, pipe or file, so that their order stays. */
let queues: Readonly<Record<"stdout" | "stderr", OutputQueue>> | undefined;

/**
 * The process's own standard output or standard error. Writing never waits: see {@linkcode OutputQueue}.
 *
 * @param kind News or a result: only news may be dropped while nobody reads it
 */
export function standardStream(
  name: "stdout" | "stderr",
  kind: OutputKind = "news",
): TerminalStream {
  const stream = Deno[name];
  return {
    isTerminal: stream.isTerminal() && Deno.env.get("TERM") !== "dumb",
    get columns() {
      return currentColumns();
    },
    write: (text) => queueOf(name).write(stream, text, kind),
  };
}

function queueOf(name: "stdout" | "stderr"): OutputQueue {
  if (!queues) {
    const stdout = new OutputQueue({ onError });
    const stderr = isSameFile(1, 2) ? stdout : new OutputQueue({ onError });
    queues = { stdout, stderr };
    // A process that is ended at once should still show what waits, and take its live bar away.
    globalThis.addEventListener("unload", () => eachQueue().forEach((queue) => queue.writeLast()));
  }
  return queues[name];
}

function eachQueue(): OutputQueue[] {
  return queues ? [...new Set([queues.stdout, queues.stderr])] : [];
}

function isSameFile(first: number, second: number): boolean {
  try {
    const [one, other] = [fstatSync(first), fstatSync(second)];
    return one.dev === other.dev && one.ino === other.ino && one.rdev === other.rdev;
  } catch {
    return false; // one of them is closed
  }
}

/** Tells whether nobody reads standard output any more (`… | head`). */
export function outputIsGone(): boolean {
  return queueOf("stdout").isGone(Deno.stdout);
}

/** Waits, while much of a result isn't read yet, until its reader takes more of it. */
export async function resultIsTaken(signal?: AbortSignal): Promise<void> {
  await orAborted(queueOf("stdout").until(MAX_RESULT_BYTES), signal);
}

/**
 * Waits until all is written, at the end of the process. News are dropped after two seconds in which nobody read;
 * a result is waited for, unless the process was asked to stop.
 */
export async function finishOutput(): Promise<void> {
  for (const queue of eachQueue()) {
    const written = queue.until(0);
    while (queue.bytes > 0) {
      await waitAtMost(100, written);
      const mayDrop = !queue.holdsResults || stopRequested() !== undefined;
      if (!mayDrop || queue.stalledMs < TIMEOUT_MS) continue;
      queue.close();
      if (queue === queues!.stdout) {
        queues!.stderr.write(
          Deno.stderr,
          "Warning: The end of standard output was left out: nobody read it\n",
          "news",
        );
      }
    }
  }
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
  standardStream("stdout", "result").write(`${printable(message)}\n`);
}

function currentColumns(): number {
  try {
    return Deno.consoleSize().columns || DEFAULT_COLUMNS;
  } catch {
    return DEFAULT_COLUMNS; // no terminal at all
  }
}

/** The reason of the first failure to write a result. */
let failure: string | undefined;
/** Targets whose failure was reported. */
const warnedStreams = new Set<OutputTarget>();

/**
 * Returns the reason why standard output takes no more of a command's result, such as a full disk.
 *
 * @returns `undefined` where all was written, and where the reader wanted no more (`… | head`)
 */
export function outputFailure(): string | undefined {
  return failure;
}

/** Keeps the reason of a lost result; lost news lead to a warning only, as their command goes on. */
function onError(target: OutputTarget, error: unknown, kind: OutputKind): void {
  if (target !== Deno.stdout) return; // nobody could be told
  const reason = reasonOf(error);
  if (kind === "result") {
    failure ??= reason;
  } else if (!warnedStreams.has(target)) {
    warnedStreams.add(target);
    const text = `Warning: Standard output can't be written: ${reason}; the work goes on\n`;
    standardStream("stderr").write(text);
  }
}

/** Lets `console.log()` and `console.error()` write as {@linkcode standardStream} does: they never throw, nor wait. */
export function guardConsole(): void {
  const streams = { log: standardStream("stdout", "result"), error: standardStream("stderr") };
  for (const [method, stream] of Object.entries(streams)) {
    console[method as keyof typeof streams] = (...data: unknown[]) =>
      stream.write(`${format(...data)}\n`);
  }
}

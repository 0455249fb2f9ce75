/**
 * The output of a run, as `run.log`: the lines of the terminal with their times, and those of the workers.
 *
 * @module
 */
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { maskSecrets } from "../base/secrets.ts";
import { visibleMessage } from "../base/visible_text.ts";
import { LineFile } from "./jsonl_file.ts";

/** Name of the log in a run folder. */
export const RUN_LOG_FILE = "run.log";

/** The severity of a line. */
export type Level = "info" | "warning" | "error";

/** Lines that are kept until the run has a folder. */
const KEPT = 500;

/** Appends lines to `run.log`; those from before the run had a folder are written when it has one. */
export class RunLog implements Disposable {
  #kept: string[] = [];
  #file: LineFile | undefined;

  /** Appends a line, or several: `2026-11-25T22:50:12.123Z info Data: 211 training images`. */
  append(level: Level, text: string, now: Date = new Date()): void {
    const shown = visibleMessage(maskSecrets(stripVTControlCharacters(text)));
    for (const line of shown.split("\n")) this.#write(`${now.toISOString()} ${level} ${line}`);
  }

  /** Goes on in a run folder. */
  open(folder: string): void {
    this.#file = new LineFile(join(folder, RUN_LOG_FILE));
    for (const line of this.#kept.splice(0)) this.#append(line);
  }

  /** Closes the file; may be called more than once. */
  close(): void {
    this.#file?.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** A line that can't be written (a full disk) is lost: what it says was shown, and the run goes on. */
  #append(line: string): void {
    try {
      this.#file?.append(line);
    } catch {
      // a warning would come here too
    }
  }

  #write(line: string): void {
    if (this.#file) this.#append(line);
    else if (this.#kept.length < KEPT) this.#kept.push(line);
  }
}

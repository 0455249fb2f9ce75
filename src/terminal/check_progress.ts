/**
 * The progress of a check of images: a live bar on a terminal, a line now and then elsewhere.
 *
 * @module
 */
import { formatRate, formatTimeLeft } from "../base/format.ts";
import { LiveBar } from "./live_bar.ts";
import type { TerminalStream } from "./terminal_stream.ts";

/** Least milliseconds between two plain lines. */
const PLAIN_INTERVAL_MS = 10_000;

/** Progress on a stream; nothing is left of a bar after {@linkcode CheckProgress.close}. */
export class CheckProgress {
  readonly #stream: TerminalStream;
  readonly #now: () => number;
  #bar: LiveBar | undefined;
  #total = 0;
  #start = 0;
  #lastLine = 0;

  constructor(stream: TerminalStream, now: () => number = () => performance.now()) {
    this.#stream = stream;
    this.#now = now;
  }

  /** Starts the display, once the images are counted. */
  start(total: number): void {
    this.#total = total;
    this.#start = this.#lastLine = this.#now();
    if (!this.#stream.isTerminal) {
      this.#stream.write(`Checking ${total} images\n`);
      return;
    }
    this.#bar = new LiveBar(this.#stream, total, 0, (done, total, left) => ({
      label: "check",
      done,
      total,
      details: this.#details(done, left),
    }));
  }

  /** Shows the number of images that are done. */
  update(done: number): void {
    this.#bar?.update(done);
    const now = this.#now();
    if (this.#bar || now - this.#lastLine < PLAIN_INTERVAL_MS || done === this.#total) return;
    this.#lastLine = now;
    const left = (now - this.#start) / 1000 / done * (this.#total - done);
    this.#stream.write(`check  ${this.#details(done, left).join("  ")}\n`);
  }

  /** Removes the bar. */
  close(): void {
    this.#bar?.erase();
    this.#bar = undefined;
  }

  #details(done: number, left: number | undefined): string[] {
    const details = [`${String(done).padStart(String(this.#total).length)}/${this.#total}`];
    const seconds = (this.#now() - this.#start) / 1000;
    if (done > 0 && seconds > 0) details.push(formatRate(done / seconds));
    if (left !== undefined && done < this.#total) details.push(formatTimeLeft(left));
    return details;
  }
}

/**
 * One live line at the bottom of a terminal, redrawn in place.
 *
 * @module
 */
import { SingleBar } from "../deps/cli_progress.ts";
import { barLine, type BarState } from "./lines.ts";
import type { TerminalStream } from "./terminal_stream.ts";

/** Largest number of times that the bar is redrawn per second. */
const FRAMES_PER_SECOND = 10;

/**
 * A bar that lives until {@linkcode LiveBar.erase}. Other text is printed through
 * {@linkcode LiveBar.above}, so that it never lands in the bar's line.
 */
export class LiveBar {
  readonly #stream: TerminalStream;
  readonly #bar: SingleBar;

  /**
   * Draws the bar.
   *
   * @param describe The texts of the bar; `secondsLeft` is the estimate from the last steps, or `undefined`
   */
  constructor(
    stream: TerminalStream,
    total: number,
    done: number,
    describe: (done: number, total: number, secondsLeft: number | undefined) => BarState,
  ) {
    this.#stream = stream;
    const options = {
      fps: FRAMES_PER_SECOND,
      etaBuffer: 20,
      forceRedraw: true,
      clearOnComplete: true,
      terminal: plainTerminal(stream),
      format: (_options: unknown, params: { value: number; total: number; eta: unknown }) => {
        // cli-progress gives "NULL" or "INF" when it knows no estimate.
        const left = typeof params.eta === "number" ? params.eta : undefined;
        // One column stays free: some terminals wrap as soon as the last one is written.
        return barLine(describe(params.value, params.total, left), stream.columns - 1);
      },
    };
    this.#bar = new SingleBar(options);
    this.#bar.start(total, done);
  }

  /** Moves the bar; it is redrawn at the next frame. */
  update(done: number): void {
    this.#bar.update(done);
  }

  /** Sets the end, when it becomes known later. */
  setTotal(total: number): void {
    this.#bar.setTotal(total);
  }

  /** Prints above the bar. */
  above(print: () => void): void {
    this.#stream.write("\r\x1b[2K");
    print();
    this.#bar.render();
  }

  /** Removes the bar; the cursor stands at the start of the then empty line. */
  erase(): void {
    this.#bar.stop();
  }
}

/**
 * cli-progress's own terminal saves and restores the cursor's place and switches line wrapping off, which
 * a killed process leaves behind; this one only returns to the line's start and clears to its end.
 */
function plainTerminal(stream: TerminalStream) {
  const nothing = () => {};
  return {
    cursorSave: nothing,
    cursorRestore: nothing,
    cursor: nothing,
    lineWrapping: nothing,
    cursorTo: () => stream.write("\r"),
    clearRight: () => stream.write("\x1b[K"),
    clearLine: () => stream.write("\x1b[2K"),
    newline: () => stream.write("\n"),
    write: (text: string) => stream.write(text),
    isTTY: () => true,
    getWidth: () => stream.columns,
  };
}

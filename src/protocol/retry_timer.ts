/**
 * The times for which one side waits for the other before it asks again, and before it gives up.
 *
 * @module
 */

/** The options of a retry timer: its timeout, and the callbacks for when nothing comes. */
export interface RetryTimerOptions {
  /** Milliseconds without progress after which `giveUp` is called, once (180000 unless set). */
  readonly timeoutMs?: number | undefined;
  /** Called after 2 s without progress, and then at intervals that double up to 16 s. */
  readonly askAgain: () => void;
  readonly giveUp: (seconds: number) => void;
}

const DEFAULT_TIMEOUT_MS = 180_000;
const FIRST_ASK_MS = 2_000;
const LAST_ASK_MS = 16_000;
const DAMAGED_LIMIT = 5;

/** Watches one undertaking for progress, by the monotonic clock. */
export class RetryTimer {
  readonly #options: RetryTimerOptions;
  readonly #timeoutMs: number;
  #lastProgress = performance.now();
  #interval = FIRST_ASK_MS;
  #nextAsk = this.#lastProgress + FIRST_ASK_MS;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #damaged = 0;
  #ended = false;

  constructor(options: RetryTimerOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#arm();
  }

  /** Something that was waited for has come. */
  progress(): void {
    this.#lastProgress = performance.now();
    this.#interval = FIRST_ASK_MS;
    this.#nextAsk = this.#lastProgress + FIRST_ASK_MS;
  }

  /** Counts a damaged message; returns whether there were so many that asking again is pointless. */
  damaged(): boolean {
    return ++this.#damaged > DAMAGED_LIMIT;
  }

  /** Stops watching. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }

  #arm(): void {
    if (this.#ended) return; // by what was asked
    const next = Math.min(this.#nextAsk, this.#lastProgress + this.#timeoutMs);
    this.#timer = setTimeout(() => this.#onTimer(), Math.max(1, next - performance.now()));
  }

  #onTimer(): void {
    const now = performance.now();
    const silent = now - this.#lastProgress;
    if (silent >= this.#timeoutMs) return this.#options.giveUp(Math.round(silent / 1000));
    if (now >= this.#nextAsk) {
      this.#options.askAgain();
      this.#interval = Math.min(2 * this.#interval, LAST_ASK_MS);
      this.#nextAsk = now + this.#interval;
    }
    this.#arm();
  }
}

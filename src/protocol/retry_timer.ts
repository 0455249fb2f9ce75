/**
 * The times for which one side waits for the other before it asks again, and before it gives up.
 *
 * @module
 */

/** The options of a retry timer: its timeout, and the callbacks for when nothing comes. */
export interface RetryTimerOptions {
  /** Milliseconds without progress after which `giveUp` is called, once (180000 unless set). */
  readonly timeoutMs?: number | undefined;
  /** Milliseconds without progress after which `askAgain` is called for the first time (2000 unless set). */
  readonly firstAskMs?: number | undefined;
  /** Called without progress, for the first time and then at intervals that double up to 16 s. */
  readonly askAgain: () => void;
  readonly giveUp: (seconds: number) => void;
  /** Returns true while nobody can answer, since the server is gone: such time doesn't count. */
  readonly isExcused?: (() => boolean) | undefined;
}

const DEFAULT_TIMEOUT_MS = 180_000;
const FIRST_ASK_MS = 2_000;
const LAST_ASK_MS = 16_000;
/** The first interval after a lost connection is back: the partner's may come back a little later. */
const SOON_MS = 125;
const DAMAGED_LIMIT = 5;

/** Watches one undertaking for progress, by the monotonic clock. */
export class RetryTimer {
  readonly #options: RetryTimerOptions;
  readonly #timeoutMs: number;
  #lastProgress = performance.now();
  readonly #firstAskMs: number;
  #interval: number;
  #nextAsk: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #damaged = 0;
  #ended = false;

  constructor(options: RetryTimerOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#firstAskMs = options.firstAskMs ?? FIRST_ASK_MS;
    this.#interval = this.#firstAskMs;
    this.#nextAsk = this.#lastProgress + this.#firstAskMs;
    this.#arm();
  }

  /** Something that was waited for has come. */
  progress(): void {
    this.#lastProgress = performance.now();
    this.#interval = this.#firstAskMs;
    this.#nextAsk = this.#lastProgress + this.#firstAskMs;
  }

  /** Asks again at once, and soon after: messages may have been lost. */
  askSoon(): void {
    if (this.#ended) return;
    clearTimeout(this.#timer);
    this.#lastProgress = performance.now();
    this.#options.askAgain();
    this.#interval = SOON_MS;
    this.#nextAsk = this.#lastProgress + SOON_MS;
    this.#arm();
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
    if (this.#options.isExcused?.()) this.progress();
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

/**
 * A wait for messages that may get lost.
 *
 * @module
 */
import { Pending } from "../base/pending.ts";
import { RetryTimer, type RetryTimerOptions } from "./retry_timer.ts";

/** The options of a wait: its timeout, and the callbacks for when nothing comes. */
export interface RetriedWaitOptions extends Omit<RetryTimerOptions, "giveUp"> {
  /** Makes the failure for when the others keep silent. */
  readonly silence: (seconds: number) => Error;
}

/** Ends with a result, with a failure, after too long a silence, or by a signal: whatever comes first. */
export class RetriedWait<T> {
  readonly #pending = new Pending<T>();
  readonly #retryTimer: RetryTimer;

  constructor({ silence, ...options }: RetriedWaitOptions) {
    this.#retryTimer = new RetryTimer({
      ...options,
      giveUp: (seconds) => this.fail(silence(seconds)),
    });
  }

  /** Notes that something that was waited for has come. */
  progress(): void {
    this.#retryTimer.progress();
  }

  /** Asks again at once, and soon after: a lost connection is back. */
  askSoon(): void {
    this.#retryTimer.askSoon();
  }

  /** Counts a damaged message; returns whether there were so many that asking again is pointless. */
  damaged(): boolean {
    return this.#retryTimer.damaged();
  }

  /** Ends the wait with a result. */
  finish(result: T): void {
    this.#end();
    this.#pending.finish(result);
  }

  /** Ends the wait with a failure. */
  fail(error: unknown): void {
    this.#end();
    this.#pending.fail(error);
  }

  /**
   * Waits for the end.
   *
   * @throws The error that {@linkcode RetriedWait.fail} was given
   * @throws The signal's reason when it fires
   */
  async result(signal?: AbortSignal): Promise<T> {
    try {
      return await this.#pending.result({ signal });
    } finally {
      this.#end();
    }
  }

  #end(): void {
    this.#retryTimer.end();
  }
}

/**
 * A result that another part of the program brings.
 *
 * @module
 */

/** The limits of a wait for a {@linkcode Pending} result. */
export interface WaitLimits {
  /** Ends the wait with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Ends the wait with an error after so many milliseconds. */
  readonly timeout?: { readonly ms: number; readonly makeError: () => Error };
}

/** A promise that is settled from outside, by whatever comes first: a value, a failure, a signal or a time limit. */
export class Pending<T> {
  readonly #settled = Promise.withResolvers<T>();

  constructor() {
    this.#settled.promise.catch(() => {}); // it may fail before anybody waits, or when nobody does any more
  }

  /** Settles it with a value; without effect when it is settled already. */
  finish(value: T): void {
    this.#settled.resolve(value);
  }

  /** Settles it with a failure; without effect when it is settled already. */
  fail(error: unknown): void {
    this.#settled.reject(error);
  }

  /**
   * Waits for the result. Call it once: a limit that is reached settles the result.
   *
   * @throws The error that {@linkcode Pending.fail} was given
   * @throws The signal's reason when it fires
   * @throws The error of the timeout
   */
  async result({ signal, timeout }: WaitLimits = {}): Promise<T> {
    const abort = () => this.fail(signal!.reason);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
    const timer = timeout && setTimeout(() => this.fail(timeout.makeError()), timeout.ms);
    try {
      return await this.#settled.promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }
}

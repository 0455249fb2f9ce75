/**
 * A promise that another part of the program settles.
 *
 * @module
 */

/** The limits of a wait for a {@linkcode Pending} result. */
export interface WaitLimits {
  /** Ends the wait with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Ends the wait with an error after the given number of milliseconds. */
  readonly timeout?: { readonly ms: number; readonly makeError: () => Error };
}

/** A promise that the first of these events settles: a value, a failure, a signal or a time limit. */
export class Pending<T> {
  readonly #settled = Promise.withResolvers<T>();

  constructor() {
    this.#settled.promise.catch(() => {}); // it may fail before anybody waits, or when nobody does any more
  }

  /** Settles it with a value; no effect if it is already settled. */
  finish(value: T): void {
    this.#settled.resolve(value);
  }

  /** Settles it with a failure; no effect if it is already settled. */
  fail(error: unknown): void {
    this.#settled.reject(error);
  }

  /**
   * Waits for the result. Call this once: a reached limit settles the result.
   *
   * @throws The error passed to {@linkcode Pending.fail}
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

/**
 * Waits with time limits and abort signals.
 *
 * @module
 */
import { Pending } from "./pending.ts";

/** Waits; ends early, with the signal's reason, when `signal` fires. */
export function delay(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** Returns a signal that fires with the first of some, of which one or the other may be missing. */
export function anySignal(...signals: readonly (AbortSignal | undefined)[]): AbortSignal {
  return AbortSignal.any(signals.filter((signal) => signal !== undefined));
}

/**
 * The outcome of `work`, or the error `makeError()` when `work` takes longer than `ms`. The timeout doesn't stop
 * the work: the caller has to stop the underlying operation.
 */
export async function within<T>(work: Promise<T>, ms: number, makeError: () => Error): Promise<T> {
  return await outcomeOf(work).result({ timeout: { ms, makeError } });
}

/**
 * The outcome of `work`, or the signal's reason as soon as it fires. The signal doesn't stop the work. Use this
 * only for work that leaves no partial result that looks complete, such as a download.
 */
export async function orAborted<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  return await outcomeOf(work).result({ signal });
}

function outcomeOf<T>(work: Promise<T>): Pending<T> {
  const pending = new Pending<T>();
  work.then((value) => pending.finish(value), (error) => pending.fail(error));
  return pending;
}

/** Waits until `what` settles, but at most the given time. */
export async function waitAtMost(milliseconds: number, what: Promise<unknown>): Promise<void> {
  const over = new AbortController();
  const timer = delay(milliseconds, over.signal).catch(() => {}); // aborted below: nothing to report
  await Promise.race([what, timer]);
  over.abort();
}

/**
 * Waiting without hanging.
 *
 * @module
 */

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

/**
 * The outcome of `promise`, or a failure with `makeError()` when it takes longer than `milliseconds`.
 * The promise itself goes on: stop what it stands for.
 */
export async function within<T>(
  promise: Promise<T>,
  milliseconds: number,
  makeError: () => Error,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(makeError()), milliseconds);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The outcome of `work`, or the signal's reason as soon as it fires. The work isn't stopped: use it for what leaves
 * nothing half-made that would be taken for whole when the process ends, such as a download.
 */
export async function orAborted<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (!signal) return await work;
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([aborted.promise, work]);
  } finally {
    signal.removeEventListener("abort", abort);
    work.catch(() => {}); // nobody waits for it any more
  }
}

/** Waits until `what` settles, or for so long. */
export async function waitAtMost(milliseconds: number, what: Promise<unknown>): Promise<void> {
  const over = new AbortController();
  const timer = delay(milliseconds, over.signal).catch(() => {}); // aborted below: nothing to report
  await Promise.race([what, timer]);
  over.abort();
}

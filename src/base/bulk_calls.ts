/**
 * Many short calls of the file system.
 *
 * A synchronous call costs a third of an asynchronous one where the answer is in memory, but holds up the thread where
 * a disk or a server has to be asked. So calls are made synchronously as long as they return at once, and many at a time
 * where they don't.
 *
 * @module
 */
import { setImmediate } from "node:timers";

/** The two forms of one call. */
export interface BulkCall {
  readonly sync: (index: number) => void;
  readonly async: (index: number) => Promise<void>;
}

/** The options of {@linkcode bulkCalls}. */
export interface BulkOptions {
  /** Ends the calls with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds of an average synchronous call from which calls go out at the same time (default 0.1). */
  readonly slowMs?: number;
}

/** Synchronous calls whose time is looked at together. */
const SYNC_CALLS = 16;
/** Groups of such calls that are slow one after the other: a single one may be a thread that had to wait for a core. */
const SLOW_GROUPS = 2;
/** Calls that are made asynchronously before a synchronous try: the first time, and as often as tries were slow. */
const MIN_ASYNC_CALLS = 1024, MAX_ASYNC_CALLS = 2 ** 16;
/** Asynchronous calls at a time. */
const AT_ONCE = 64;
/** Milliseconds without a turn for messages, timers and signals. */
const MAX_BLOCKED_MS = 20;

/**
 * Makes `count` calls, each once, in no certain order.
 *
 * @throws what the first failing call throws, or the signal's reason
 */
export async function bulkCalls(
  count: number,
  call: BulkCall,
  { signal, slowMs = 0.1 }: BulkOptions = {},
): Promise<void> {
  let next = 0, turn = performance.now(), slow = 0, asyncCalls = MIN_ASYNC_CALLS;
  while (next < count) {
    signal?.throwIfAborted();
    const start = performance.now(), end = Math.min(next + SYNC_CALLS, count), calls = end - next;
    while (next < end) call.sync(next++);
    const now = performance.now();
    if ((now - start) / calls < slowMs) {
      slow = 0;
      asyncCalls = MIN_ASYNC_CALLS;
    } else if (++slow === SLOW_GROUPS) {
      const until = Math.min(next + asyncCalls, count);
      await callAtOnce(next, until, call, signal);
      next = until;
      slow = 0;
      asyncCalls = Math.min(2 * asyncCalls, MAX_ASYNC_CALLS);
      turn = performance.now();
    }
    if (now - turn < MAX_BLOCKED_MS) continue;
    await new Promise((resolve) => setImmediate(resolve));
    turn = performance.now();
  }
}

async function callAtOnce(
  from: number,
  until: number,
  { async: call }: BulkCall,
  signal: AbortSignal | undefined,
): Promise<void> {
  let next = from;
  const work = async () => {
    while (next < until) {
      signal?.throwIfAborted();
      await call(next++);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, until - from) }, work));
}

/**
 * The request to join a run, repeated until it is answered: by a worker, and by the agent of a host.
 *
 * @module
 */
import { Pending, type WaitLimits } from "../base/pending.ts";
import type { Link } from "./link.ts";

/** A request to join. */
export interface JoinRequest<T> extends WaitLimits {
  /** Subscribes to the answer, which settles the wait: a welcome, or the error of a refusal. */
  readonly listen: (answer: Pending<T>) => { unsubscribe(): void };
  /** Sends the request. */
  readonly ask: () => void;
}

const REPEAT_MS = 1_000;

/**
 * Asks until the coordinator answers.
 *
 * @returns The welcome
 * @throws The error of a refusal or of the timeout, or the signal's reason
 */
export async function askToJoin<T>(
  link: Link,
  { listen, ask, signal, ...limits }: JoinRequest<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const answer = new Pending<T>();
  const subscription = listen(answer);
  const repeat = setInterval(ask, REPEAT_MS);
  try {
    await link.flush();
    ask();
    return await answer.result({ signal, ...limits });
  } finally {
    clearInterval(repeat);
    subscription.unsubscribe();
  }
}

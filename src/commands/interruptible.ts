/**
 * Ctrl-C and its like, for commands that end in an orderly way.
 *
 * @module
 */
import { InterruptedError } from "../base/errors.ts";
import { takeStopRequests } from "../base/signals.ts";

/**
 * Turns SIGINT, SIGTERM and SIGHUP into an abort signal whose reason is an {@linkcode InterruptedError}.
 * A second request ends the process at once; worker processes end by themselves when it is gone.
 */
export function interruptible(onFirst: () => void): Disposable & { signal: AbortSignal } {
  const controller = new AbortController();
  const requests = takeStopRequests((name) => {
    onFirst();
    controller.abort(new InterruptedError(`Interrupted by ${name}`, name));
  });
  return { signal: controller.signal, [Symbol.dispose]: () => requests[Symbol.dispose]() };
}

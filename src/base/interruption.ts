/**
 * Converts abort signals of callers, whose reason may be any value, to signals whose reason is an interruption.
 *
 * @module
 */
import { InterruptedError } from "./errors.ts";

/** A signal that is released when the work is over. */
export interface Interruption extends Disposable {
  /**
   * Fires with the caller's signal; its reason is an {@linkcode InterruptedError}. `undefined` if the caller has
   * no signal.
   */
  readonly signal: AbortSignal | undefined;
}

/**
 * Derives a signal for a piece of work from its caller's.
 *
 * @throws {InterruptedError} when the caller's signal has already fired: no work is started
 */
export function interruptedBy(caller: AbortSignal | undefined): Interruption {
  if (!caller) return { signal: undefined, [Symbol.dispose]: () => {} };
  if (caller.aborted) throw interruptionOf(caller.reason);
  const controller = new AbortController();
  const abort = () => controller.abort(interruptionOf(caller.reason));
  caller.addEventListener("abort", abort, { once: true });
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => caller.removeEventListener("abort", abort),
  };
}

/** Returns a signal's reason as the error of its work; the reason is the cause of that error. */
export function interruptionOf(reason: unknown): InterruptedError {
  if (reason instanceof InterruptedError) return reason;
  // The message of the default reason of controller.abort() adds no information.
  const isPlain = reason instanceof DOMException && reason.name === "AbortError";
  const why = isPlain ? "" : `: ${reason instanceof Error ? reason.message : String(reason)}`;
  return new InterruptedError(`Interrupted by an abort signal${why}`, "SIGINT", { cause: reason });
}

/**
 * Abort signals of callers, whose reason may be anything, as the interruptions that this library throws.
 *
 * @module
 */
import { InterruptedError } from "./errors.ts";

/** A signal that is let go when the work is over. */
export interface Interruption extends Disposable {
  /** Fires with the caller's; its reason is an {@linkcode InterruptedError}. Undefined where the caller has none. */
  readonly signal: AbortSignal | undefined;
}

/**
 * Derives a signal for a piece of work from its caller's.
 *
 * @throws {InterruptedError} when that has fired already: nothing is begun
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

/** A signal's reason as the error that its work fails with; the reason itself is the cause. */
export function interruptionOf(reason: unknown): InterruptedError {
  if (reason instanceof InterruptedError) return reason;
  // What controller.abort() gives by itself says no more than that.
  const isPlain = reason instanceof DOMException && reason.name === "AbortError";
  const why = isPlain ? "" : `: ${reason instanceof Error ? reason.message : String(reason)}`;
  return new InterruptedError(`Interrupted by an abort signal${why}`, "SIGINT", { cause: reason });
}

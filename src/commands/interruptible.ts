/**
 * Ctrl-C, for commands that end in an orderly way.
 *
 * @module
 */
import { InterruptedError } from "../base/errors.ts";

/**
 * Turns SIGINT and SIGTERM into an abort signal whose reason is an {@linkcode InterruptedError}.
 * A second signal ends the process at once; worker processes end by themselves when it is gone.
 */
export function interruptible(onFirst: () => void): Disposable & { signal: AbortSignal } {
  const controller = new AbortController();
  const handlers = (["SIGINT", "SIGTERM"] as const).map((name) => {
    const handler = () => {
      const error = new InterruptedError(`Interrupted by ${name}`, name);
      if (controller.signal.aborted) Deno.exit(error.exitCode);
      onFirst();
      controller.abort(error);
    };
    Deno.addSignalListener(name, handler);
    return { name, handler };
  });
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      for (const { name, handler } of handlers) Deno.removeSignalListener(name, handler);
    },
  };
}

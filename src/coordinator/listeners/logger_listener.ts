/**
 * A metrics logger, such as TensorBoard, as a listener of a run.
 *
 * @module
 */
import { recoveryRecord } from "../../events/recovery_record.ts";
import type { RunEvent, RunEvents, RunListener } from "../../events/run_events.ts";
import type { LoggerStart, OpenLogger, RunLogger } from "../../loggers/logger.ts";

/** A logger with its name for messages. */
export interface NamedLogger {
  readonly name: string;
  readonly open: OpenLogger;
}

/** Passes the metrics of a run on to a logger. */
export class LoggerListener implements RunListener {
  readonly name: string;
  readonly #logger: RunLogger;

  constructor(name: string, logger: RunLogger) {
    this.name = `The ${name} logger`;
    this.#logger = logger;
  }

  hear(event: RunEvent): void | Promise<void> {
    switch (event.type) {
      case "metrics":
        return this.#logger.metrics?.(event.point);
      case "validation":
        return this.#logger.validation?.(event.point);
      case "epochEnded":
        return this.#logger.epoch?.(event.record);
      case "recovery":
        return this.#logger.recovery?.(recoveryRecord(event));
      case "picture":
        if (this.#logger.picture) return this.#takePicture(event);
    }
  }

  /** Tells the logger that the run has ended. */
  close(): void {
    this.#logger.close?.();
  }

  async #takePicture({ name, step, draw }: RunEvent & { type: "picture" }): Promise<void> {
    const png = await draw();
    if (png) this.#logger.picture?.(name, png, step);
  }
}

/**
 * Opens loggers one after the other and starts them. A logger that can't be opened is left out, with a warning.
 *
 * @returns A function that closes the loggers; a failure to close is a warning
 */
export async function listenWithLoggers(
  events: RunEvents,
  loggers: readonly NamedLogger[],
  start: LoggerStart,
): Promise<Disposable> {
  const opened: LoggerListener[] = [];
  for (const { name, open } of loggers) {
    try {
      const listener = new LoggerListener(name, await open(start));
      opened.push(listener);
      events.add(listener);
    } catch (error) {
      events.leaveOut({ name: `The ${name} logger` }, error);
    }
  }
  return {
    [Symbol.dispose]: () => {
      for (const listener of opened) {
        if (!events.hasListener(listener)) continue; // it has failed before
        try {
          listener.close();
        } catch (error) {
          events.leaveOut(listener, error);
        }
      }
    },
  };
}

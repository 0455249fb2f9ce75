/**
 * Several loggers as one, none of which can end the run.
 *
 * @module
 */
import { asLockstepError, messageOf } from "../base/errors.ts";
import type { LoggerStart, OpenLogger, RunLogger } from "./logger.ts";

/** A logger with a name for messages. */
export interface NamedLogger {
  readonly name: string;
  readonly open: OpenLogger;
}

/** Tells all loggers the same; one that fails is reported and left out. */
export class LoggerSet implements Required<RunLogger> {
  readonly #warn: (line: string) => void;
  #loggers: { name: string; logger: RunLogger }[] = [];

  /** @param warn Told once of each logger that fails */
  constructor(warn: (line: string) => void) {
    this.#warn = warn;
  }

  /** Opens loggers, one after the other. */
  async open(loggers: readonly NamedLogger[], start: LoggerStart): Promise<void> {
    for (const { name, open } of loggers) {
      try {
        this.#loggers.push({ name, logger: await open(start) });
      } catch (error) {
        this.#fail(name, error);
      }
    }
  }

  /** True if one of the loggers takes pictures: if not, none needs to be drawn for them. */
  get takesPictures(): boolean {
    return this.#loggers.some(({ logger }) => logger.picture !== undefined);
  }

  metrics(...args: Parameters<Required<RunLogger>["metrics"]>): void {
    this.#tell((logger) => logger.metrics?.(...args));
  }

  validation(...args: Parameters<Required<RunLogger>["validation"]>): void {
    this.#tell((logger) => logger.validation?.(...args));
  }

  epoch(...args: Parameters<Required<RunLogger>["epoch"]>): void {
    this.#tell((logger) => logger.epoch?.(...args));
  }

  picture(...args: Parameters<Required<RunLogger>["picture"]>): void {
    this.#tell((logger) => logger.picture?.(...args));
  }

  close(): void {
    this.#tell((logger) => logger.close?.());
    this.#loggers = [];
  }

  #tell(what: (logger: RunLogger) => void): void {
    this.#loggers = this.#loggers.filter(({ name, logger }) => {
      try {
        what(logger);
        return true;
      } catch (error) {
        this.#fail(name, error);
        return false;
      }
    });
  }

  #fail(name: string, error: unknown): void {
    this.#warn(
      `The ${name} logger fails, the run goes on without it: ${messageOf(asLockstepError(error))}`,
    );
  }
}

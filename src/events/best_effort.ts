/**
 * The one place that keeps what a run draws, logs and reports from ending it.
 *
 * @module
 */
import { asLockstepError, messageOf } from "../base/errors.ts";

/** Does what a run can do without; a failure is a warning, told once for each thing and message. */
export class BestEffort {
  readonly #warn: (line: string) => void;
  readonly #reported = new Set<string>();

  /** @param warn Shows a line; what it throws itself is left unsaid: there is nobody left to tell */
  constructor(warn: (line: string) => void) {
    this.#warn = warn;
  }

  /**
   * Does something, and waits for it.
   *
   * @param what Named in the warning, as in "predictions.png"
   * @param cure More for the warning; unless given, that the run goes on
   * @returns What `action` returns, or nothing when it fails
   */
  async attempt<T>(
    what: string,
    action: () => Promise<T> | T,
    cure?: string,
  ): Promise<T | undefined> {
    try {
      return await action();
    } catch (error) {
      this.#tell(what, error, cure);
    }
  }

  /** Does something that takes no time, such as appending a line. */
  attemptNow(what: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#tell(what, error);
    }
  }

  #tell(what: string, error: unknown, cure = "the run goes on without it"): void {
    const line = `${what} couldn't be written: ${messageOf(asLockstepError(error))}; ${cure}`;
    if (this.#reported.has(line)) return;
    this.#reported.add(line);
    try {
      this.#warn(line);
    } catch {
      // the warning's own file may be what fails
    }
  }
}

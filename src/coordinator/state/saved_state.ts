/**
 * Checkpoints and history of a run whose disk may become full or read-only during the run.
 *
 * A failed write is a warning, and is repeated when the next write is due. The existing version stays on the
 * disk. The end of the run names the files that are still missing.
 *
 * @module
 */
import { asLockstepError, LockstepError, SystemError } from "../../base/errors.ts";
import { shownPath } from "../../base/file_path.ts";
import { shellWord } from "../../base/shell.ts";
import type { RunEvents } from "../../events/run_events.ts";

/** Saves the state from which a run can be resumed. */
export class SavedState {
  readonly #folder: string;
  readonly #events: Pick<RunEvents, "warn" | "emit">;
  /** The files whose newest version isn't on the disk, each with the reason. */
  readonly #missing = new Map<string, string>();

  /** @param folder The run folder, for messages */
  constructor(folder: string, events: Pick<RunEvents, "warn" | "emit">) {
    this.#folder = folder;
    this.#events = events;
  }

  /**
   * Writes a part of the state.
   *
   * @param what Name of the file in the run folder, such as `checkpoints/last`
   * @param state The state of the run, such as `epoch 3, step 18`
   * @returns True when the state is written; `false`, after a warning, when the operating system refuses
   * @throws Any other error of `write`
   */
  async attempt(what: string, state: string, write: () => Promise<void>): Promise<boolean> {
    try {
      await write();
    } catch (thrown) {
      const error = asLockstepError(thrown);
      if (!(error instanceof SystemError)) throw error;
      this.#missing.set(what, `${what} of ${state} (${error.message})`);
      const message = `${what} of ${state} couldn't be written: ${error.message}. ` +
        "What was saved before stays, the run goes on and tries again at the next time to save";
      this.#events.warn(message);
      return false;
    }
    this.#missing.delete(what);
    return true;
  }

  /** Tells whether the last attempt to write a file failed. */
  isMissing(what: string): boolean {
    return this.#missing.has(what);
  }

  /** Warns of files that couldn't be written, at the end of an interrupted run. */
  warnOfMissing(): void {
    if (this.#missing.size === 0) return;
    const message = `Training was interrupted, ${this.#describe()}`;
    this.#events.emit({ type: "warning", message, kept: false });
  }

  /**
   * Ends a run whose training is over.
   *
   * @throws {LockstepError} naming the files that couldn't be written
   */
  requireAll(): void {
    if (this.#missing.size === 0) return;
    throw new LockstepError(`Training is over, ${this.#describe()}`);
  }

  #describe(): string {
    return `but could not write ${[...this.#missing.values()].join("; ")}: ${
      shownPath(this.#folder)
    } holds what was ` +
      `saved before; mend that, then go on from there with deno task train --resume ${
        shellWord(shownPath(this.#folder))
      }`;
  }
}

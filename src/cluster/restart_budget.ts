/**
 * The limit of restarts of a run that loses workers.
 *
 * @module
 */
import { counted } from "../base/format.ts";
import { LockstepError } from "../base/errors.ts";
import type { StepKey } from "../base/step_key.ts";
import { LastHour } from "../hosts/last_hour.ts";

/** The losses of a recovery, for the budget. */
export interface Loss {
  /** The ranks' reasons, a sentence each. */
  readonly reasons: readonly string[];
  /** The step that the ranks were in, if they were in one. */
  readonly place: StepKey | undefined;
}

/** Counts restarts, and ends the run when there are too many, or one that was in vain. */
export class RestartBudget {
  readonly #maxRestarts: number;
  readonly #taken: LastHour<Loss>;

  /**
   * @param maxRestarts Restarts within an hour
   * @param now Milliseconds of a monotonic clock
   */
  constructor(maxRestarts: number, now?: () => number) {
    this.#maxRestarts = maxRestarts;
    this.#taken = new LastHour(now);
  }

  /** Number of restarts within the last hour. */
  get taken(): number {
    return this.#taken.all.length;
  }

  /**
   * Takes one restart.
   *
   * @throws {LockstepError} when there were as many as may be within an hour, with all reasons; or when the same failure
   *   was at the same step before, which no restart mends
   */
  take(loss: Loss): void {
    const before = this.#taken.all;
    if (before.some((each) => isSame(each, loss))) {
      throw new LockstepError(
        `${loss.reasons[0]}: the same as before a restart, so another one would be in vain`,
      );
    }
    if (before.length >= this.#maxRestarts) {
      const [last] = loss.reasons;
      const earlier = before.flatMap(({ reasons }) => reasons);
      throw new LockstepError(
        `${last}: the run gives up after ${
          counted(before.length, "restart")
        } within an hour (maxRestarts)` +
          earlier.map((reason) => `\n  before: ${reason}`).join(""),
      );
    }
    this.#taken.add(loss);
  }
}

/** Tells whether a failure of a step, of which its worker said the reason, has come again at the same step. */
function isSame(a: Loss, b: Loss): boolean {
  if (!a.place || !b.place || a.place.epoch !== b.place.epoch || a.place.step !== b.place.step) {
    return false;
  }
  const [known, failures] = [a, b].map(({ reasons }) => reasons.flatMap(failureIn));
  return failures.some((failure) => known.includes(failure));
}

/** The words of a worker about its failure, whichever rank it was of. */
function failureIn(reason: string): string[] {
  const [, failure] = / failed: ([^]+)$/.exec(reason) ?? [];
  return failure === undefined ? [] : [failure];
}

/**
 * One side's wait for the end of a step.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { RetryTimer } from "../protocol/retry_timer.ts";
import type { StepKey } from "../base/step_key.ts";

/** The options of a wait for a step: its timeout, and the callbacks for when nothing comes. */
export interface StepWaitOptions {
  /** Milliseconds without any progress after which the step fails (180000 unless set). */
  readonly timeoutMs: number | undefined;
  /** Asks the others again for what is missing. */
  readonly askAgain: () => void;
  /** The step's failure when the others keep silent. */
  readonly silence: (seconds: number) => LockstepError;
}

/** Ends with a result, with a failure, after too long a silence, or by a signal: whatever comes first. */
export class StepWait<T> {
  readonly #done = Promise.withResolvers<T>();
  readonly #retryTimer: RetryTimer;

  constructor({ timeoutMs, askAgain, silence }: StepWaitOptions) {
    this.#retryTimer = new RetryTimer({
      timeoutMs,
      askAgain,
      giveUp: (seconds) => this.fail(silence(seconds)),
    });
    this.#done.promise.catch(() => {}); // it may fail before anybody waits, or when nobody does any more
  }

  /** Something that was waited for has come. */
  progress(): void {
    this.#retryTimer.progress();
  }

  /** Counts a damaged message; returns whether there were so many that asking again is pointless. */
  damaged(): boolean {
    return this.#retryTimer.damaged();
  }

  finish(result: T): void {
    this.#done.resolve(result);
  }

  fail(error: unknown): void {
    this.#done.reject(error);
  }

  /** Stops asking and watching. */
  end(): void {
    this.#retryTimer.end();
  }

  /**
   * Waits for the end.
   *
   * @throws What {@linkcode StepWait.fail} was given
   * @throws The signal's reason when it fires
   */
  async result(signal?: AbortSignal): Promise<T> {
    const abort = () => this.fail(signal!.reason);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      return await this.#done.promise;
    } finally {
      this.end();
      signal?.removeEventListener("abort", abort);
    }
  }
}

/**
 * Milliseconds without any progress after which a rank's step fails: later than the coordinator's own (180000), which
 * knows whom the step waits for.
 */
export const RANK_TIMEOUT_MS = 210_000;

/** The coordinator's failure when ranks keep silent. */
export function noAnswerFrom(
  ranks: readonly number[],
  what: string,
  { epoch, step }: StepKey,
  seconds: number,
  describe?: (rank: number) => string | undefined,
): LockstepError {
  const details = ranks.flatMap((rank) => describe?.(rank) ?? []);
  return new LockstepError(
    [
      `No ${what} from rank ${ranks.join(", ")} for ${seconds} s in epoch ${epoch}, step ${step}`,
      ...details,
    ].join("; "),
  );
}

/** A rank's failure when the coordinator keeps silent. */
export function noAnswer(rank: number, { epoch, step }: StepKey, seconds: number): LockstepError {
  return new LockstepError(
    `Rank ${rank} got no answer from the coordinator for ${seconds} s in epoch ${epoch}, step ${step}`,
  );
}

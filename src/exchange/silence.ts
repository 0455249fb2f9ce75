/**
 * The failures of a step whose other end keeps silent, or whose exchange is closed.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import type { StepKey } from "../base/step_key.ts";

/** Milliseconds without any progress after which the coordinator's step fails. */
export const COORDINATOR_TIMEOUT_MS = 180_000;

/** The same for a rank's step: later than the coordinator's, which knows more about what the ranks do. */
export const RANK_TIMEOUT_MS = 210_000;

/** A failure between the ranks: the process that throws it is whole, and so is its state. */
export class ExchangeError extends LockstepError {
  override name = "ExchangeError";
}

/** The coordinator's failure when ranks keep silent. */
export function noAnswerFrom(
  ranks: readonly number[],
  what: string,
  { epoch, step }: StepKey,
  seconds: number,
  describe?: (rank: number) => string | undefined,
): ExchangeError {
  const details = ranks.flatMap((rank) => describe?.(rank) ?? []);
  return new ExchangeError(
    [
      `No ${what} from rank ${ranks.join(", ")} for ${seconds} s in epoch ${epoch}, step ${step}`,
      ...details,
    ].join("; "),
  );
}

/** A rank's failure when the coordinator keeps silent. */
export function noAnswer(rank: number, { epoch, step }: StepKey, seconds: number): ExchangeError {
  return new ExchangeError(
    `Rank ${rank} got no answer from the coordinator for ${seconds} s in epoch ${epoch}, step ${step}`,
  );
}

/**
 * A rank's failure when others don't arrive.
 *
 * @param lagging The ranks that have come least far; with the rank itself among them, it is the coordinator that is
 *   waited for
 */
export function noArrival(
  rank: number,
  lagging: readonly number[],
  { epoch, step }: StepKey,
  seconds: number,
): ExchangeError {
  const whom = lagging.includes(rank) ? "the coordinator" : `rank ${lagging.join(", ")}`;
  return new ExchangeError(
    `Rank ${rank} waited ${seconds} s for ${whom} in epoch ${epoch}, step ${step}`,
  );
}

/** The failure of a call that waits when its exchange is closed. */
export function closedError(): ExchangeError {
  return new ExchangeError("The exchange was closed in the middle of a step");
}

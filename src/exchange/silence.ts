/**
 * The failures of a step whose other end keeps silent.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import type { StepKey } from "../base/step_key.ts";

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

/**
 * The verdict on a step: each rank, and the coordinator, comes to the same one by the reduced record alone.
 *
 * @module
 */
import type { Config } from "../config/schema.ts";
import type { StepResult } from "../exchange/gradient_exchange.ts";
import {
  INITIAL_LOSS_SCALE,
  type LossScale,
  LossScaler,
  MIN_LOSS_SCALE,
} from "../optim/loss_scaler.ts";

/**
 * `apply` the gradients; `skip` the step, whose gradients overflowed because the loss was scaled; or `fail`: something
 * is not finite, and no scale is to blame.
 */
export type StepVerdict = "apply" | "skip" | "fail";

/** The loss scale in an epoch. */
export interface EpochLossScale extends LossScale {
  /** Steps of the epoch that were skipped so far. */
  readonly skippedSteps: number;
}

/** Returns the loss scale that a run begins with; nothing where losses aren't scaled. */
export function initialLossScale(
  { engine }: { readonly engine: Pick<Config["engine"], "precision"> },
): EpochLossScale | undefined {
  return engine.precision === "float16" ? { ...INITIAL_LOSS_SCALE, skippedSteps: 0 } : undefined;
}

/** Judges steps, one after the other, and keeps the loss scale that follows from the verdicts. */
export class StepJudge {
  readonly #scaler: LossScaler | undefined;
  #skippedSteps: number;

  /** @param before The loss scale after the steps so far; nothing where losses aren't scaled */
  constructor(before: EpochLossScale | undefined) {
    this.#scaler = before && new LossScaler(before);
    this.#skippedSteps = before?.skippedSteps ?? 0;
  }

  /** The factor of the loss of the next step; 1 where losses aren't scaled. */
  get scale(): number {
    return this.#scaler?.scale ?? 1;
  }

  /** The loss scale after the steps so far; nothing where losses aren't scaled. */
  get lossScale(): EpochLossScale | undefined {
    return this.#scaler && { ...this.#scaler.state, skippedSteps: this.#skippedSteps };
  }

  /** Judges the next step. */
  judge(
    { finite, lossSum, weight }: Pick<StepResult, "finite" | "lossSum" | "weight">,
  ): StepVerdict {
    if (finite) {
      if (weight > 0) this.#scaler?.update(false);
      return "apply";
    }
    // A loss is computed before it is scaled.
    if (!this.#scaler || !Number.isFinite(lossSum)) return "fail";
    if (this.#scaler.scale <= MIN_LOSS_SCALE) return "fail";
    this.#scaler.update(true);
    this.#skippedSteps++;
    return "skip";
  }
}

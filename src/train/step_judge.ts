/**
 * The verdict on a step: each rank, and the coordinator, comes to the same one by the reduced record alone.
 *
 * @module
 */
import { given } from "../base/given.ts";
import type { Config } from "../config/schema.ts";
import type { StepResult } from "../exchange/gradient_exchange.ts";
import {
  INITIAL_LOSS_SCALE,
  type LossScale,
  LossScaler,
  MIN_LOSS_SCALE,
} from "../optim/loss_scaler.ts";

/**
 * `apply` the gradients; `rescale`: leave out the step, whose gradients overflowed because the loss was scaled, and
 * lower the scale; `skip` the step: something is not finite, no scale is to blame, and such steps are to be skipped; or
 * `fail`.
 */
export type StepVerdict = "apply" | "rescale" | "skip" | "fail";

/** The loss scale in an epoch. */
export interface EpochLossScale extends LossScale {
  /** Steps of the epoch that were left out so far, because scaled gradients overflowed. */
  readonly skippedSteps: number;
}

/** Steps that were skipped, because they were not finite. */
export interface NonFiniteCounts {
  /** The last steps without one that was applied between them. */
  readonly inARow: number;
  /** Of the epoch so far. */
  readonly ofEpoch: number;
}

/** The counts of skipped steps, and the most that may be skipped in a row. */
export interface SkipAllowance extends NonFiniteCounts {
  readonly limit: number;
}

/** The state that the verdict on a step depends on, beside the step itself. */
export interface JudgeState {
  /** Missing where losses aren't scaled. */
  readonly lossScale?: EpochLossScale | undefined;
  /** Missing where steps that are not finite end the run. */
  readonly nonFinite?: SkipAllowance | undefined;
}

/** Counts of a run that has skipped nothing. */
const NONE: NonFiniteCounts = { inARow: 0, ofEpoch: 0 };

type JudgedConfig = {
  readonly engine: Pick<Config["engine"], "precision">;
  readonly train: Pick<Config["train"], "onNonFinite" | "maxNonFiniteSteps">;
};

/**
 * Returns the state that a run judges its next step by.
 *
 * @param known The counts and the scale after the steps so far; unless given, the run begins
 */
export function judgeStateOf(
  { engine, train }: JudgedConfig,
  known: { lossScale?: EpochLossScale | undefined; nonFinite?: NonFiniteCounts | undefined } = {},
): JudgeState {
  const isScaled = engine.precision === "float16";
  return {
    ...(isScaled
      ? { lossScale: known.lossScale ?? { ...INITIAL_LOSS_SCALE, skippedSteps: 0 } }
      : {}),
    ...(train.onNonFinite === "skip"
      ? { nonFinite: { ...NONE, ...known.nonFinite, limit: train.maxNonFiniteSteps } }
      : {}),
  };
}

/** Judges steps, one after the other, and keeps the loss scale and the counts that follow from the verdicts. */
export class StepJudge {
  readonly #scaler: LossScaler | undefined;
  readonly #limit: number | undefined;
  #overflows: number;
  #nonFinite: NonFiniteCounts;

  /** @param before The state after the steps so far */
  constructor({ lossScale, nonFinite }: JudgeState = {}) {
    this.#scaler = lossScale && new LossScaler(lossScale);
    this.#overflows = lossScale?.skippedSteps ?? 0;
    this.#limit = nonFinite?.limit;
    this.#nonFinite = { ...NONE, ...nonFinite };
  }

  /** The factor of the loss of the next step; 1 where losses aren't scaled. */
  get scale(): number {
    return this.#scaler?.scale ?? 1;
  }

  /** The loss scale after the steps so far; nothing where losses aren't scaled. */
  get lossScale(): EpochLossScale | undefined {
    return this.#scaler && { ...this.#scaler.state, skippedSteps: this.#overflows };
  }

  /** The state after the steps so far: another judge that begins with it goes on as this one. */
  get state(): JudgeState {
    const { lossScale, nonFinite } = this;
    const limit = this.#limit;
    return {
      ...given("lossScale", lossScale),
      ...(nonFinite && limit !== undefined ? { nonFinite: { ...nonFinite, limit } } : {}),
    };
  }

  /** The counts of steps that were skipped so far; nothing where none may be. */
  get nonFinite(): NonFiniteCounts | undefined {
    if (this.#limit === undefined) return undefined;
    const { inARow, ofEpoch } = this.#nonFinite;
    return { inARow, ofEpoch };
  }

  /** Judges the next step. */
  judge(reduced: Pick<StepResult, "finite" | "lossSum" | "weight">): StepVerdict {
    const verdict = this.foresee(reduced);
    if (verdict === "apply" && reduced.weight > 0) {
      this.#scaler?.update(false);
      this.#nonFinite = { ...this.#nonFinite, inARow: 0 };
    }
    if (verdict === "rescale") {
      this.#scaler?.update(true);
      this.#overflows++;
    }
    if (verdict === "skip") {
      const { inARow, ofEpoch } = this.#nonFinite;
      this.#nonFinite = { inARow: inARow + 1, ofEpoch: ofEpoch + 1 };
    }
    return verdict;
  }

  /** Returns the verdict on the next step, without an effect on those of later ones. */
  foresee({ finite, lossSum }: Pick<StepResult, "finite" | "lossSum">): StepVerdict {
    if (finite) return "apply";
    // A loss is computed before it is scaled.
    const isScaleToBlame = Number.isFinite(lossSum) && this.scale > MIN_LOSS_SCALE;
    if (this.#scaler && isScaleToBlame) return "rescale";
    const isOver = this.#limit === undefined || this.#nonFinite.inARow >= this.#limit;
    return isOver ? "fail" : "skip";
  }
}

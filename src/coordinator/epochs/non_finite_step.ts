/**
 * The error of a training step whose loss or gradients are NaN or infinite.
 *
 * @module
 */
import { LockstepError } from "../../base/errors.ts";
import type { List } from "../../base/lazy_list.ts";
import { listed } from "../../base/listing.ts";
import type { StepKey } from "../../base/step_key.ts";
import type { Config } from "../../config/schema.ts";
import type { EpochPlanner } from "../../data/loading/epoch_planner.ts";
import type { StepTotals } from "../../exchange/gradient_exchange.ts";
import { type NarrowDtype, ROUNDING } from "../../exchange/narrow.ts";
import { MIN_LOSS_SCALE } from "../../optim/loss_scaler.ts";
import { lossCure } from "../../optim/loss.ts";

/** The facts about a run that the error names. */
export interface StepFacts {
  readonly config: {
    readonly workers: number;
    readonly train: Pick<Config["train"], "lr" | "classWeights">;
  };
  readonly dataset: { readonly train: Pick<List<{ readonly path: string }>, "at"> };
  readonly plan: { readonly training: Pick<EpochPlanner, "steps"> };
}

/** A step that failed. */
export interface NonFiniteStep
  extends Pick<StepTotals, "worstRank" | "tooLargeFor">, Partial<Pick<StepTotals, "lossSum">> {
  /** Factor of the loss (default 1). */
  readonly scale?: number;
}

/** Files that the message names. */
const MAX_NAMED_FILES = 20;

/**
 * Returns the error. It names the images of the first rank with a non-finite value, since one of them may be the
 * cause.
 */
export function nonFiniteStepError(
  { config, dataset, plan }: StepFacts,
  { epoch, step }: StepKey,
  { worstRank: rank, tooLargeFor, lossSum = NaN, scale = 1 }: NonFiniteStep,
): LockstepError {
  const where = `in epoch ${epoch}, step ${step}`;
  if (scale <= MIN_LOSS_SCALE && Number.isFinite(lossSum)) {
    const whose = rank === undefined ? "The gradients" : `The gradients of rank ${rank}`;
    return new LockstepError(
      `${whose} overflow float16 ${where}, however small the loss scale (${scale}), no update was made: set ` +
        `engine.precision to float32 or bfloat16, or ${lossCure(config.train, "the data")}`,
    );
  }
  if (tooLargeFor) {
    return new LockstepError(formatOverflow(tooLargeFor, rank, where, config));
  }
  const cure = lossCure(config.train, "the data");
  if (rank === undefined) {
    return new LockstepError(
      `The sum of the gradients became infinite ${where}, no update was made: ${cure}`,
    );
  }
  const [{ indices }] = plan.training.steps(epoch, { rank, worldSize: config.workers }, step);
  const files = listed(Array.from(indices, (index) => dataset.train.at(index)!.path), {
    max: MAX_NAMED_FILES,
  });
  return new LockstepError(
    `Loss or gradients became NaN or infinite on rank ${rank} ${where}, no update was made: ${cure}; ` +
      `its images were ${files}`,
  );
}

/** A gradient that is finite, but overflows the dtype of the exchange. */
function formatOverflow(
  dtype: NarrowDtype,
  rank: number | undefined,
  where: string,
  { train }: StepFacts["config"],
): string {
  const whose = rank === undefined
    ? "The sum of the gradients has"
    : `Gradients of rank ${rank} have`;
  const wider = dtype === "float16" ? "bfloat16 or float32" : "float32";
  return `${whose} values too large for ${dtype} (at most ${
    ROUNDING[dtype].largest
  }) ${where}, no update was made: ` +
    `set nats.gradientDtype to ${wider}, or ${lossCure(train)}`;
}
